#include "int8.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "simd.h"

namespace {

constexpr int64_t kOutputs = 16;            // of a block: as many 32-bit sums as a register has
constexpr int64_t kMostRows = 16;           // at once: as many sums as leave registers for the rest
constexpr int64_t kTileInputs = 64;         // of a tile of AMX
constexpr int64_t kAhead = 8192;            // bytes that are asked for before they are needed
constexpr int64_t kAheadOfTiles = 1024;
constexpr int64_t kWorthThreads = 1 << 18;  // multiplications
constexpr float kSmallestScale = 1e-12f;    // keeps a row of zeros from becoming 0 / 0

// Magnitudes are compared as integers, which order them likewise, and NaN above all: a row that has one becomes NaN.
float largest_magnitude(const float* row, int64_t length) {
  __m512i most = _mm512_castps_si512(_mm512_set1_ps(kSmallestScale));
  for (int64_t i = 0; i < length; i += 16)
    most = _mm512_max_epi32(most, _mm512_castps_si512(_mm512_abs_ps(_mm512_loadu_ps(row + i))));
  const int32_t bits = _mm512_reduce_max_epi32(most);
  float magnitude;
  std::memcpy(&magnitude, &bits, 4);
  return magnitude;
}

// Turns sums of one row into a block of its outputs.
void scale_back(const Int8Layer& layer, int64_t first, __m512i sums, float row_scale, float* y) {
  const __mmask16 present = lanes(layer.num_outputs - first);
  const __m512i surplus = _mm512_maskz_loadu_epi32(present, layer.surplus + first);
  const __m512 bias = layer.bias ? _mm512_maskz_loadu_ps(present, layer.bias + first) : _mm512_setzero_ps();
  const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sums, surplus)),
                                       _mm512_maskz_loadu_ps(present, layer.scale + first));
  _mm512_mask_storeu_ps(y + first, present, _mm512_fmadd_ps(product, _mm512_set1_ps(row_scale), bias));
}

// Where results will be written is fetched meanwhile: loads would wait for stores that wait for memory.
void fetch_outputs(const Int8Layer& layer, int64_t first, int64_t num_rows, const float* y) {
  for (int64_t row = 0; row < num_rows; ++row) __builtin_prefetch(y + row * layer.num_outputs + first, 1);
}

// One block of outputs of `num_rows` rows, `activations` [inputs / 4][Rows][4].
template <int Rows>
void multiply_block(const Int8Layer& layer, int64_t block, int64_t num_rows, const uint8_t* activations,
                    const float* row_scales, float* y) {
  const int64_t first = block * kOutputs;
  fetch_outputs(layer, first, num_rows, y);
  const int8_t* weight = layer.weight + first * layer.num_inputs;
  __m512i sums[Rows];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  for (int64_t group = 0; group < layer.num_inputs / 4; ++group, weight += 64) {
    _mm_prefetch(weight + kAhead, _MM_HINT_T0);
    const __m512i weights = _mm512_loadu_si512(weight);
#pragma GCC unroll 16
    for (int row = 0; row < Rows; ++row) {
      int32_t four;
      std::memcpy(&four, activations + (group * Rows + row) * 4, 4);
      sums[row] = _mm512_dpbusd_epi32(sums[row], _mm512_set1_epi32(four), weights);
    }
  }
  for (int64_t row = 0; row < num_rows; ++row)
    scale_back(layer, first, sums[row], row_scales[row], y + row * layer.num_outputs);
}

using MultiplyBlock = void (*)(const Int8Layer&, int64_t, int64_t, const uint8_t*, const float*, float*);

template <int... Numbers>
constexpr std::array<MultiplyBlock, sizeof...(Numbers)> for_each_number(std::integer_sequence<int, Numbers...>) {
  return {multiply_block<Numbers + 1>...};
}

constexpr auto kMultiplyBlock = for_each_number(std::make_integer_sequence<int, kMostRows>());

// The same with AMX, whose tiles are up to 16 lines of 64 bytes: `activations` [inputs / 64][lines][64].
void multiply_block_in_tiles(const Int8Layer& layer, int64_t block, int64_t num_rows, int64_t num_lines,
                             const uint8_t* activations, const float* row_scales, float* y) {
  const int64_t first = block * kOutputs;
  fetch_outputs(layer, first, num_rows, y);
  const int8_t* weight = layer.weight + first * layer.num_inputs;
  _tile_zero(0);
  for (int64_t tile = 0; tile < layer.num_inputs / kTileInputs; ++tile, weight += kOutputs * kTileInputs) {
    for (int64_t line = 0; line < kOutputs * kTileInputs; line += 64)
      _mm_prefetch(weight + kAheadOfTiles + line, _MM_HINT_T0);
    _tile_loadd(1, activations + tile * num_lines * kTileInputs, kTileInputs);
    _tile_loadd(2, weight, 64);
    _tile_dpbusd(0, 1, 2);
  }
  alignas(64) int32_t sums[kMostRows * kOutputs];
  _tile_stored(0, sums, 64);
  for (int64_t row = 0; row < num_rows; ++row)
    scale_back(layer, first, _mm512_load_si512(sums + row * kOutputs), row_scales[row], y + row * layer.num_outputs);
}

// Tiles 0 and 1, sums and activations, have a line for each row; tile 2, weights, is full.
void configure_tiles(int64_t num_lines) {
  struct {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t line_bytes[16] = {64, 64, 64};
    uint8_t num_lines[16] = {};
  } tiles;
  tiles.num_lines[0] = tiles.num_lines[1] = num_lines;
  tiles.num_lines[2] = 16;
  _tile_loadconfig(&tiles);
}

bool has_tiles = false;

bool takes_tiles(const Int8Layer& layer) { return has_tiles && layer.num_inputs % kTileInputs == 0; }

int64_t num_blocks(int64_t num_outputs) { return (num_outputs + kOutputs - 1) / kOutputs; }

}  // namespace

RoundedRows::RoundedRows(uint8_t* activations, float* scales, int64_t num_rows)
    : activations_(activations), scales_(scales), num_rows_(num_rows), together_(rows_together(num_rows)) {}

int64_t RoundedRows::rows_together(int64_t num_rows) {
  const int64_t num_parts = (num_rows + kMostRows - 1) / kMostRows;
  return (num_rows + num_parts - 1) / num_parts;
}

int64_t RoundedRows::num_bytes(int64_t num_rows, int64_t num_inputs) { return (num_rows + kMostRows) * num_inputs; }

void RoundedRows::set(int64_t row, const float* x, const Int8Layer& layer) const {
  scales_[row] = largest_magnitude(x, layer.num_inputs);
  const __m512 scale = _mm512_set1_ps(scales_[row]), levels = _mm512_set1_ps(layer.num_levels);
  const __m512i zero = _mm512_set1_epi32(layer.zero);
  const int64_t width = takes_tiles(layer) ? kTileInputs : 4;  // bytes of a row that lie side by side
  uint8_t* const to = activations_ + row / together_ * together_ * layer.num_inputs + row % together_ * width;
  for (int64_t i = 0; i < layer.num_inputs; i += 16) {
    const __m512 scaled = _mm512_mul_ps(_mm512_div_ps(_mm512_loadu_ps(x + i), scale), levels);
    alignas(16) uint8_t bytes[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(bytes),
                    _mm512_cvtepi32_epi8(_mm512_add_epi32(_mm512_cvtps_epi32(scaled), zero)));
    if (width == kTileInputs) {
      std::memcpy(to + i / width * width * together_ + i % width, bytes, 16);
    } else {
      for (int64_t j = 0; j < 16; j += 4) std::memcpy(to + (i + j) * together_, bytes + j, 4);
    }
  }
}

void RoundedRows::multiply(const Int8Layer& layer, float* y) const {
  const bool in_tiles = takes_tiles(layer);
  if (in_tiles) configure_tiles(together_);
#pragma omp barrier
#pragma omp for
  for (int64_t block = 0; block < num_blocks(layer.num_outputs); ++block) {
    for (int64_t first = 0; first < num_rows_; first += together_) {
      const int64_t num_rows = std::min(together_, num_rows_ - first);
      const uint8_t* const activations = activations_ + first * layer.num_inputs;
      float* const to = y + first * layer.num_outputs;
      if (in_tiles)
        multiply_block_in_tiles(layer, block, num_rows, together_, activations, scales_ + first, to);
      else
        kMultiplyBlock[together_ - 1](layer, block, num_rows, activations, scales_ + first, to);
    }
  }
  if (in_tiles) _tile_release();
}

extern "C" {

// From now on products take AMX's tiles, which the process must have been allowed to use.
void nllb_use_tiles() { has_tiles = true; }

// weight [outputs, inputs] -> packed, and sums [outputs] of each output's weights.
void nllb_int8_pack(const int8_t* weight, int64_t num_outputs, int64_t num_inputs, int8_t* packed, int32_t* sums) {
  const int64_t num_places = num_blocks(num_outputs) * kOutputs;
  ask_for_huge_pages(packed, num_places * num_inputs);
  for (int64_t place = 0; place < num_places; ++place) {
    int8_t* to = packed + place / kOutputs * kOutputs * num_inputs + place % kOutputs * 4;
    const int8_t* from = weight + place * num_inputs;
    int32_t sum = 0;
    for (int64_t i = 0; i < num_inputs; i += 4, to += 64) {
      if (place >= num_outputs) {
        std::memset(to, 0, 4);
        continue;
      }
      std::memcpy(to, from + i, 4);
      sum += from[i] + from[i + 1] + from[i + 2] + from[i + 3];
    }
    if (place < num_outputs) sums[place] = sum;
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
