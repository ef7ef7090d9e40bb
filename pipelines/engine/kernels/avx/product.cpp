// Products with 256 bits at once: multiply.h is that of avx2/ or of avx_vnni/.

#include "product.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "multiply.h"

namespace {

constexpr int64_t kGroupBytes = 4;  // of a row's activations, that lie side by side
static_assert(kGroupBytes == kInputsTogether * kActivationBytes);

// One block of outputs of some rows, `activations` [inputs / kInputsTogether][together][kInputsTogether].
template <int Rows>
void multiply_block(const Int8Layer& layer, int64_t block, int64_t first_row, int64_t together,
                    const uint8_t* activations, const float* row_scales, const Outputs& y) {
  const int64_t first = block * kOutputs;
  fetch_outputs(y, first_row, Rows, first);
  constexpr int64_t kWeights = kOutputs * kInputsTogether, kGroupsOfLine = std::max<int64_t>(1, 64 / kWeights);
  const int8_t* weights = layer.weight + first * layer.num_inputs;
  __m256i sums[Rows][2];
#pragma GCC unroll 6
  for (auto& of_row : sums) of_row[0] = of_row[1] = _mm256_setzero_si256();
#pragma GCC unroll 2
  for (int64_t group = 0; group < layer.num_inputs / kInputsTogether; ++group) {
    if (group % kGroupsOfLine == 0) _mm_prefetch(weights + kAhead, _MM_HINT_T0);
    const __m256i low = load_weights(weights), high = load_weights(weights + kWeights / 2);
#pragma GCC unroll 6
    for (int row = 0; row < Rows; ++row) {
      int32_t four;
      std::memcpy(&four, activations + row * kGroupBytes, kGroupBytes);
      const __m256i everywhere = _mm256_set1_epi32(four);
      add_product(sums[row][0], everywhere, low);
      add_product(sums[row][1], everywhere, high);
    }
    weights += kWeights;
    activations += together * kGroupBytes;
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
  uint8_t* to = part_of(row, layer) + row % together_ * kGroupBytes;
  for (int64_t i = 0; i < layer.num_inputs; i += 16) {
    alignas(32) uint8_t bytes[16 * kActivationBytes];
    store_activations(bytes, add(to_nearest(load(x + i) * all(factor)), all(layer.zero)));
    for (int64_t j = 0; j < 16 * kActivationBytes; j += kGroupBytes, to += together_ * kGroupBytes)
      std::memcpy(to, bytes + j, kGroupBytes);
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
