#include "int8.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "simd.h"

namespace {

constexpr int64_t kCachedBytes = 1 << 20;   // of activations, half of a second-level cache
constexpr int64_t kShareBytes = 1 << 17;    // of weights, that a thread takes at once
constexpr float kSmallestScale = 1e-12f;    // keeps a row of zeros from becoming 0 / 0

// Magnitudes are compared as integers, which order them likewise, and NaN above all: a row that has one becomes NaN.
float largest_magnitude(const float* row, int64_t length) {
  Integers most = bits_of(all(kSmallestScale));
  for (int64_t i = 0; i < length; i += 16) most = larger(most, bits_of(magnitude(load(row + i))));
  const int32_t bits = largest(most);
  float magnitude;
  std::memcpy(&magnitude, &bits, 4);
  return magnitude;
}

// Even, as tiles take two.
int64_t num_blocks(int64_t num_outputs) { return (num_outputs + 2 * kOutputs - 1) / (2 * kOutputs) * 2; }

// Fewer address look-ups. Memory that was not written yet can be had so, where the system offers it on request.
void ask_for_huge_pages(void* memory, int64_t num_bytes) {
  constexpr uintptr_t kPage = 4096;
  const uintptr_t first = (reinterpret_cast<uintptr_t>(memory) + kPage - 1) / kPage * kPage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + num_bytes) / kPage * kPage;
  if (end > first) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
}

}  // namespace

RoundedRows::RoundedRows(uint8_t* activations, float* scales, int64_t num_rows)
    : activations_(activations), scales_(scales), num_rows_(num_rows), together_(rows_together(num_rows)) {}

int64_t RoundedRows::rows_together(int64_t num_rows) {
  constexpr int64_t kMost = kMostRows * kPartsTogether;
  const int64_t num_parts = num_rows <= kMostRows ? 1 : (num_rows + kMost - 1) / kMost * kPartsTogether;
  return (num_rows + num_parts - 1) / num_parts;
}

int64_t RoundedRows::num_bytes(int64_t num_rows, int64_t num_inputs) {
  return (num_rows + kMostRows * kPartsTogether) * num_inputs * kActivationBytes;
}

void RoundedRows::set(int64_t row, const float* x, const Int8Layer& layer) const {
  scales_[row] = largest_magnitude(x, layer.num_inputs);
  round(row, x, layer.num_levels / scales_[row], layer);
}

void RoundedRows::multiply(const Int8Layer& layer, float* y) const {
#pragma omp barrier
  begin(layer);
  const int64_t at_once = rows_at_once(layer);
  const int64_t share = std::max<int64_t>(1, kShareBytes / (2 * kOutputs * layer.num_inputs));
  for (int64_t first = 0; first < num_rows_; first += at_once) {
    const int64_t last = std::min(num_rows_, first + at_once);
#pragma omp for schedule(dynamic, share) nowait
    for (int64_t block = 0; block < num_blocks(layer.num_outputs); block += 2)
      multiply_blocks(layer, block, first, last, {y, 0, layer.num_outputs});
  }
  end(layer);
#pragma omp barrier
}

void RoundedRows::multiply_some(const Int8Layer& layer, int64_t first, int64_t end, float* y) const {
  begin(layer);
  const int64_t at_once = rows_at_once(layer);
  for (int64_t row = 0; row < num_rows_; row += at_once)
    for (int64_t block = first / kOutputs; block < num_blocks(end); block += 2)
      multiply_blocks(layer, block, row, std::min(num_rows_, row + at_once), {y, first, end - first});
  this->end(layer);
}

// So many that what is multiplied by each block stays in the cache.
int64_t RoundedRows::rows_at_once(const Int8Layer& layer) const {
  const int64_t step = kPartsTogether * together_;
  return std::max<int64_t>(1, kCachedBytes / (step * layer.num_inputs * kActivationBytes)) * step;
}

uint8_t* RoundedRows::part_of(int64_t row, const Int8Layer& layer) const {
  return activations_ + row / together_ * together_ * layer.num_inputs * kActivationBytes;
}

extern "C" {

// weight [outputs, inputs] -> packed and surplus [outputs], as an Int8Layer with this zero has them.
void nllb_int8_pack(const int8_t* weight, int64_t num_outputs, int64_t num_inputs, int32_t zero, int8_t* packed,
                    int32_t* surplus) {
  const int64_t num_places = num_blocks(num_outputs) * kOutputs;
  ask_for_huge_pages(packed, num_places * num_inputs);
  for (int64_t place = 0; place < num_places; ++place) {
    int8_t* to = packed + place / kOutputs * kOutputs * num_inputs + place % kOutputs * kInputsTogether;
    const int8_t* from = weight + place * num_inputs;
    int32_t sum = 0;
    for (int64_t i = 0; i < num_inputs; i += kInputsTogether, to += kOutputs * kInputsTogether) {
      if (place >= num_outputs) {
        std::memset(to, 0, kInputsTogether);
        continue;
      }
      std::memcpy(to, from + i, kInputsTogether);
      for (int64_t j = 0; j < kInputsTogether; ++j) sum += from[i + j];
    }
    if (place < num_outputs) surplus[place] = (zero - kActivationShift) * sum;
  }
}

// x [rows, inputs] -> y [rows, outputs]
void nllb_int8_linear(const Int8Layer* layer, const float* x, int64_t num_rows, float* y) {
  static thread_local std::vector<uint8_t> activations;
  static thread_local std::vector<float> scales;
  activations.resize(std::max<size_t>(activations.size(), RoundedRows::num_bytes(num_rows, layer->num_inputs)));
  scales.resize(std::max<size_t>(scales.size(), num_rows));
  const RoundedRows rows(activations.data(), scales.data(), num_rows);
#pragma omp parallel if (num_rows * layer->num_inputs * layer->num_outputs >= kWorthThreads)
  {
#pragma omp for nowait
    for (int64_t row = 0; row < num_rows; ++row) rows.set(row, x + row * layer->num_inputs, *layer);
    rows.multiply(*layer, y);
  }
}
}
