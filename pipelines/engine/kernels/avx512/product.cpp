// Products with AVX-512's VNNI, which adds four products of 8 bits at once, or with AMX's tiles.

#include "product.h"

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace {

constexpr int64_t kTileInputs = 64;  // of a tile of AMX
constexpr int64_t kAheadOfTiles = 1024;

// One block of outputs of some rows, `activations` [inputs / 4][Rows][4].
template <int Rows>
void multiply_block(const Int8Layer& layer, int64_t block, int64_t first_row, int64_t num_rows,
                    const uint8_t* activations, const float* row_scales, const Outputs& y) {
  const int64_t first = block * kOutputs;
  fetch_outputs(y, first_row, num_rows, first);
  const int8_t* weight = layer.weight + first * layer.num_inputs;
  Integers sums[Rows];
  for (Integers& sum : sums) sum = all(0);
  for (int64_t group = 0; group < layer.num_inputs / 4; ++group, weight += 64) {
    _mm_prefetch(weight + kAhead, _MM_HINT_T0);
    const Integers weights = _mm512_loadu_si512(weight);
#pragma GCC unroll 16
    for (int row = 0; row < Rows; ++row) {
      int32_t four;
      std::memcpy(&four, activations + (group * Rows + row) * 4, 4);
      sums[row] = _mm512_dpbusd_epi32(sums[row], all(four), weights);
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
      scale_back(layer, first + i * kOutputs, load(sums[i][row]), row_scales[row],
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
  __asm__ volatile("" : : "r"(&tiles) : "memory");  // GCC's next line reads eight bytes, for all that GCC knows
  _tile_loadconfig(&tiles);
}

bool has_tiles = false;

bool takes_tiles(const Int8Layer& layer) { return has_tiles && layer.num_inputs % kTileInputs == 0; }

}  // namespace

void RoundedRows::round(int64_t row, const float* x, float factor, const Int8Layer& layer) const {
  const int64_t width = takes_tiles(layer) ? kTileInputs : 4;  // bytes of a row that lie side by side
  uint8_t* const to = part_of(row, layer) + row % together_ * width;
  for (int64_t i = 0; i < layer.num_inputs; i += 16) {
    alignas(16) uint8_t bytes[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(bytes),
                    _mm512_cvtepi32_epi8(add(to_nearest(load(x + i) * all(factor)), all(layer.zero))));
    if (width == kTileInputs) {
      std::memcpy(to + i / width * width * together_ + i % width, bytes, 16);
    } else {
      for (int64_t j = 0; j < 16; j += 4) std::memcpy(to + (i + j) * together_, bytes + j, 4);
    }
  }
}

void RoundedRows::begin(const Int8Layer& layer) const {
  if (takes_tiles(layer)) configure_tiles(together_);
}

void RoundedRows::multiply_blocks(const Int8Layer& layer, int64_t block, int64_t first, int64_t end,
                                  const Outputs& y) const {
  const bool in_tiles = takes_tiles(layer), two_parts = in_tiles && num_rows_ > together_;
  const int64_t step = two_parts ? 2 * together_ : together_;
  const int64_t begin = first;
  for (; first < end; first += step) {
    const int64_t num_rows = std::min(step, end - first);
    const uint8_t* const activations = part_of(first, layer);
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

void RoundedRows::end(const Int8Layer& layer) const {
  if (takes_tiles(layer)) _tile_release();
}

// From now on products take AMX's tiles, which the process must have been allowed to use.
extern "C" void nllb_use_tiles() { has_tiles = true; }
