// Products with AVX2, which multiplies numbers of 16 bits and adds them in pairs. Its instruction for 8 bits adds in 16, which
// would overflow: others lose a bit of the activations to it, or exactness.

#include "product.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

namespace {

// One after the other, as they are written: mixed by the compiler, they need more registers than there are.
inline void add_in_order(__m256i& sum, __m256i products) {
  __asm__ volatile("vpaddd %1, %0, %0" : "+x"(sum) : "x"(products));
}

// One block of outputs of some rows, `activations` [inputs / 2][together][2].
template <int Rows>
void multiply_block(const Int8Layer& layer, int64_t block, int64_t first_row, int64_t together,
                    const uint8_t* activations, const float* row_scales, const Outputs& y) {
  const int64_t first = block * kOutputs;
  fetch_outputs(y, first_row, Rows, first);
  const int8_t* weight = layer.weight + first * layer.num_inputs;
  __m256i sums[Rows][2];
#pragma GCC unroll 6
  for (auto& of_row : sums) of_row[0] = of_row[1] = _mm256_setzero_si256();
#pragma GCC unroll 2
  for (int64_t pair = 0; pair < layer.num_inputs / 2; ++pair, weight += 32, activations += together * 4) {
    if (pair % 2 == 0) _mm_prefetch(weight + kAhead, _MM_HINT_T0);
    const __m256i low = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weight)));
    const __m256i high = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weight + 16)));
#pragma GCC unroll 6
    for (int row = 0; row < Rows; ++row) {
      int32_t two;
      std::memcpy(&two, activations + row * 4, 4);
      const __m256i x = _mm256_set1_epi32(two);
      add_in_order(sums[row][0], _mm256_madd_epi16(x, low));
      add_in_order(sums[row][1], _mm256_madd_epi16(x, high));
    }
  }
#pragma GCC unroll 6
  for (int row = 0; row < Rows; ++row)
    scale_back(layer, first, {sums[row][0], sums[row][1]}, row_scales[row], y.at(first_row + row, first));
}

using MultiplyBlock = void (*)(const Int8Layer&, int64_t, int64_t, int64_t, const uint8_t*, const float*,
                               const Outputs&);

constexpr MultiplyBlock kMultiplyBlock[kMostRows] = {multiply_block<1>, multiply_block<2>, multiply_block<3>,
                                                     multiply_block<4>, multiply_block<5>, multiply_block<6>};

}  // namespace

void RoundedRows::round(int64_t row, const float* x, float factor, const Int8Layer& layer) const {
  uint8_t* const to = part_of(row, layer) + row % together_ * 4;
  for (int64_t i = 0; i < layer.num_inputs; i += 16) {
    alignas(32) uint16_t numbers[16];
    store_unsigned(numbers, add(to_nearest(load(x + i) * all(factor)), all(layer.zero)));
    for (int64_t j = 0; j < 16; j += 2) std::memcpy(to + (i + j) / 2 * 4 * together_, numbers + j, 4);
  }
}

void RoundedRows::begin(const Int8Layer&) const {}

void RoundedRows::multiply_blocks(const Int8Layer& layer, int64_t block, int64_t first, int64_t end,
                                  const Outputs& y) const {
  for (; first < end; first += together_) {
    const int64_t num_rows = std::min(together_, end - first);
    for (const int64_t one : {block, block + 1})
      kMultiplyBlock[num_rows - 1](layer, one, first, together_, part_of(first, layer), scales_ + first, y);
  }
}

void RoundedRows::end(const Int8Layer&) const {}
