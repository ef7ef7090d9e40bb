// A linear layer in int8: y = (x W') s + b, with weights rounded per output and activations per row.
//
// With few rows a product is the reading of weights. So these lie as they are read, one stream for each thread, and
// are multiplied by several rows at once while the next ones are on their way. Integer sums are exact: a row's product is
// the same in any batch, with any number of threads and on any processor.
#pragma once

#include <cstdint>

#include "layout.h"

constexpr int64_t kOutputs = 16;            // of a block: as many sums as are computed with at once
constexpr int64_t kWorthThreads = 1 << 18;  // multiplications of a product

// As int8.py builds it; the number of inputs is a multiple of 16.
struct Int8Layer {
  const int8_t* weight;    // [outputs / 16][inputs / n][16 outputs][n inputs], n = kInputsTogether; blocks are even in number
  const float* scale;      // of each output: the weights' step times the activations'
  const int32_t* surplus;  // of each output: what the activations' zero adds to its sums
  const float* bias;       // may be null
  int64_t num_inputs, num_outputs;
  float num_levels;  // that a row's largest magnitude is rounded to
  int32_t zero;      // added to rounded activations, as the product takes none that are negative
};

// Where a product goes: a row of outputs, from `first` on, every `apart` floats.
struct Outputs {
  float* start;
  int64_t first, apart;

  float* at(int64_t row, int64_t output) const { return start + row * apart + output - first; }
};

// Rows being multiplied, in parts of equal size: one part, or a multiple of kPartsTogether. In a part 4 bytes of each row lie
// side by side, or 64 with AMX. Parts that are not full have rows that nobody reads.
class RoundedRows {
 public:
  // In memory of `num_bytes` and of a float for each row.
  RoundedRows(uint8_t* activations, float* scales, int64_t num_rows);

  static int64_t num_bytes(int64_t num_rows, int64_t num_inputs);

  // Rounds one row, `x [inputs]`, by its own largest magnitude.
  void set(int64_t row, const float* x, const Int8Layer& layer) const;

  // y [rows, outputs]: a share of it for each thread of the team, who wait for each other before and after it.
  void multiply(const Int8Layer& layer, float* y) const;

  // y [rows, end - first]: some outputs, by the calling thread alone. `first` is a multiple of 32.
  void multiply_some(const Int8Layer& layer, int64_t first, int64_t end, float* y) const;

 private:
  static int64_t rows_together(int64_t num_rows);
  int64_t rows_at_once(const Int8Layer& layer) const;
  uint8_t* part_of(int64_t row, const Int8Layer& layer) const;

  // As each processor can: avx512/product.cpp and vectors/product.cpp. A thread calls `multiply_blocks`, which computes two
  // blocks of outputs of some rows, between `begin` and `end`.
  void round(int64_t row, const float* x, float factor, const Int8Layer& layer) const;
  void begin(const Int8Layer& layer) const;
  void multiply_blocks(const Int8Layer& layer, int64_t block, int64_t first, int64_t end, const Outputs& y) const;
  void end(const Int8Layer& layer) const;

  uint8_t* activations_;
  float* scales_;
  int64_t num_rows_, together_;
};
