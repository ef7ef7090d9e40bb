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
constexpr int64_t kCachedBytes = 1 << 20;   // of activations, half of a second-level cache
constexpr int64_t kShareBytes = 1 << 17;    // of weights, that a thread takes at once
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

// Turns sums of one row into a block of its outputs, at `to`.
void scale_back(const Int8Layer& layer, int64_t first, __m512i sums, float row_scale, float* to) {
  const __mmask16 present = lanes(layer.num_outputs - first);
  const __m512i surplus = _mm512_maskz_loadu_epi32(present, layer.surplus + first);
  const __m512 bias = layer.bias ? _mm512_maskz_loadu_ps(present, layer.bias + first) : _mm512_setzero_ps();
  const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sums, surplus)),
                                       _mm512_maskz_loadu_ps(present, layer.scale + first));
  _mm512_mask_storeu_ps(to, present, _mm512_fmadd_ps(product, _mm512_set1_ps(row_scale), bias));
}

// Where results will be written is fetched meanwhile: loads would wait for stores that wait for memory.
void fetch_outputs(const Outputs& y, int64_t first_row, int64_t num_rows, int64_t first) {
  for (int64_t row = first_row; row < first_row + num_rows; ++row) __builtin_prefetch(y.at(row, first), 1);
}

// One block of outputs of some rows, `activations` [inputs / 4][Rows][4].
template <int Rows>
void multiply_block(const Int8Layer& layer, int64_t block, int64_t first_row, int64_t num_rows,
                    const uint8_t* activations, const float* row_scales, const Outputs& y) {
  const int64_t first = block * kOutputs;
  fetch_outputs(y, first_row, num_rows, first);
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
    scale_back(layer, first, sums[row], row_scales[row], y.at(first_row + row, first));
}

using MultiplyBlock = void (*)(const Int8Layer&, int64_t, int64_t, int64_t, const uint8_t*, const float*,
                               const Outputs&);

template <int... Numbers>
constexpr std::array<MultiplyBlock, sizeof...(Numbers)> for_each_number(std::integer_sequence<int, Numbers...>) {
  return {multiply_block<Numbers + 1>...};
}

constexpr auto kMultiplyBlock = for_each_number(std::make_integer_sequence<int, kMostRows>());

// Asks for a tile of weights that will be loaded soon.
void fetch_tile(const int8_t* weights) {
  for (int64_t line = 0; line < kOutputs * kTileInputs; line += 64) _mm_prefetch(weights + line, _MM_HINT_T0);
}

// The same with AMX, whose tiles are up to 16 lines of 64 bytes: two blocks of outputs of one part of the rows, or of two
// parts, as each tile that is loaded is then multiplied twice. `activations` [parts][inputs / 64][lines][64].
template <bool kTwoParts, bool kFromMemory>
void multiply_blocks_in_tiles(const Int8Layer& layer, int64_t block, int64_t first_row, int64_t num_rows,
                              int64_t num_lines, const uint8_t* activations, const float* row_scales,
                              const Outputs& y) {
  const int64_t first = block * kOutputs;
  fetch_outputs(y, first_row, num_rows, first);
  const int8_t* weights = layer.weight + first * layer.num_inputs;
  const int8_t* more_weights = weights + kOutputs * layer.num_inputs;
  const uint8_t* more_activations = activations + num_lines * layer.num_inputs;
  _tile_zero(0);
  _tile_zero(1);
  if (kTwoParts) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t tile = 0; tile < layer.num_inputs / kTileInputs; ++tile) {
    const int64_t of_weights = tile * kOutputs * kTileInputs, of_activations = tile * num_lines * kTileInputs;
    if (kFromMemory) {
      fetch_tile(weights + of_weights + kAheadOfTiles);
      fetch_tile(more_weights + of_weights + kAheadOfTiles);
    }
    _tile_loadd(4, activations + of_activations, kTileInputs);
    _tile_loadd(6, weights + of_weights, 64);
    _tile_dpbusd(0, 4, 6);
    _tile_loadd(7, more_weights + of_weights, 64);
    _tile_dpbusd(1, 4, 7);
    if (kTwoParts) {
      _tile_loadd(5, more_activations + of_activations, kTileInputs);
      _tile_dpbusd(2, 5, 6);
      _tile_dpbusd(3, 5, 7);
    }
  }
  alignas(64) int32_t sums[2][2 * kMostRows][kOutputs];  // of each block
  _tile_stored(0, sums[0], 64);
  _tile_stored(1, sums[1], 64);
  if (kTwoParts) {
    _tile_stored(2, sums[0][num_lines], 64);
    _tile_stored(3, sums[1][num_lines], 64);
  }
  for (int64_t row = 0; row < num_rows; ++row)
    for (int64_t i = 0; i < 2; ++i)
      scale_back(layer, first + i * kOutputs, _mm512_load_si512(sums[i][row]), row_scales[row],
                 y.at(first_row + row, first + i * kOutputs));
}

// Tiles 0 to 5, sums and activations, have a line for each row; tiles 6 and 7, weights, are full.
void configure_tiles(int64_t num_lines) {
  struct {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t line_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t num_lines[16] = {};
  } tiles;
  std::fill(tiles.num_lines, tiles.num_lines + 6, num_lines);
  std::fill(tiles.num_lines + 6, tiles.num_lines + 8, kOutputs);
  _tile_loadconfig(&tiles);
}

bool has_tiles = false;

bool takes_tiles(const Int8Layer& layer) { return has_tiles && layer.num_inputs % kTileInputs == 0; }

// Even, as tiles take two.
int64_t num_blocks(int64_t num_outputs) { return (num_outputs + 2 * kOutputs - 1) / (2 * kOutputs) * 2; }

}  // namespace

RoundedRows::RoundedRows(uint8_t* activations, float* scales, int64_t num_rows)
    : activations_(activations), scales_(scales), num_rows_(num_rows), together_(rows_together(num_rows)) {}

int64_t RoundedRows::rows_together(int64_t num_rows) {
  const int64_t num_parts = num_rows <= kMostRows ? 1 : (num_rows + 2 * kMostRows - 1) / (2 * kMostRows) * 2;
  return (num_rows + num_parts - 1) / num_parts;
}

int64_t RoundedRows::num_bytes(int64_t num_rows, int64_t num_inputs) { return (num_rows + 2 * kMostRows) * num_inputs; }

void RoundedRows::set(int64_t row, const float* x, const Int8Layer& layer) const {
  scales_[row] = largest_magnitude(x, layer.num_inputs);
  const __m512 factor = _mm512_set1_ps(layer.num_levels / scales_[row]);
  const __m512i zero = _mm512_set1_epi32(layer.zero);
  const int64_t width = takes_tiles(layer) ? kTileInputs : 4;  // bytes of a row that lie side by side
  uint8_t* const to = activations_ + row / together_ * together_ * layer.num_inputs + row % together_ * width;
  for (int64_t i = 0; i < layer.num_inputs; i += 16) {
    const __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(x + i), factor);
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
#pragma omp barrier
  if (takes_tiles(layer)) configure_tiles(together_);
  const int64_t at_once = rows_at_once(layer);
  const int64_t share = std::max<int64_t>(1, kShareBytes / (2 * kOutputs * layer.num_inputs));
  for (int64_t first = 0; first < num_rows_; first += at_once) {
    const int64_t end = std::min(num_rows_, first + at_once);
#pragma omp for schedule(dynamic, share) nowait
    for (int64_t block = 0; block < num_blocks(layer.num_outputs); block += 2)
      multiply_blocks(layer, block, first, end, {y, 0, layer.num_outputs});
  }
  if (takes_tiles(layer)) _tile_release();
#pragma omp barrier
}

void RoundedRows::multiply_some(const Int8Layer& layer, int64_t first, int64_t end, float* y) const {
  if (takes_tiles(layer)) configure_tiles(together_);
  const int64_t at_once = rows_at_once(layer);
  for (int64_t row = 0; row < num_rows_; row += at_once)
    for (int64_t block = first / kOutputs; block < num_blocks(end); block += 2)
      multiply_blocks(layer, block, row, std::min(num_rows_, row + at_once), {y, first, end - first});
  if (takes_tiles(layer)) _tile_release();
}

// So many that what is multiplied by each block stays in the cache.
int64_t RoundedRows::rows_at_once(const Int8Layer& layer) const {
  return std::max<int64_t>(1, kCachedBytes / (2 * together_ * layer.num_inputs)) * 2 * together_;
}

void RoundedRows::multiply_blocks(const Int8Layer& layer, int64_t block, int64_t first, int64_t end,
                                  const Outputs& y) const {
  const bool in_tiles = takes_tiles(layer), two_parts = in_tiles && num_rows_ > together_;
  const int64_t step = two_parts ? 2 * together_ : together_;
  const int64_t begin = first;
  for (; first < end; first += step) {
    const int64_t num_rows = std::min(step, end - first);
    const uint8_t* const activations = activations_ + first * layer.num_inputs;
    const float* const scales = scales_ + first;
    if (two_parts && first == begin)
      multiply_blocks_in_tiles<true, true>(layer, block, first, num_rows, together_, activations, scales, y);
    else if (two_parts)
      multiply_blocks_in_tiles<true, false>(layer, block, first, num_rows, together_, activations, scales, y);
    else if (in_tiles)
      multiply_blocks_in_tiles<false, true>(layer, block, first, num_rows, together_, activations, scales, y);
    else
      for (const int64_t one : {block, block + 1})
        kMultiplyBlock[together_ - 1](layer, one, first, num_rows, activations, scales, y);
  }
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
