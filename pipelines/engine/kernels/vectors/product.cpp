// Products with a few registers' numbers at once: multiply.h says what one instruction does, with AVX2, AVX-VNNI or NEON.

#include "product.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "multiply.h"

namespace {

constexpr int64_t kGroupBytes = 4;  // of a row's activations, that lie side by side
static_assert(kGroupBytes == kInputsTogether * kActivationBytes);
constexpr int kRegistersOfBlock = sizeof(Integers) / sizeof(Sums);

// Calls with each index as a constant: numbers of an array stay in registers then.
template <int... Index, typename Do>
inline __attribute__((always_inline)) void unroll(std::integer_sequence<int, Index...>, Do work) {
  (work(Index), ...);
}
template <int Count>
constexpr std::make_integer_sequence<int, Count> kIndices{};

// One block of outputs of some rows, `activations` [inputs / kInputsTogether][together][kInputsTogether].
template <int Rows>
void multiply_block(const Int8Layer& layer, int64_t block, int64_t first_row, int64_t together,
                    const uint8_t* activations, const float* row_scales, const Outputs& y) {
  const int64_t first = block * kOutputs;
  fetch_outputs(y, first_row, Rows, first);
  constexpr int64_t kWeights = kOutputs * kInputsTogether, kGroupsOfLine = std::max<int64_t>(1, 64 / kWeights);
  const int8_t* from = layer.weight + first * layer.num_inputs;
  Sums sums[Rows][kRegistersOfBlock] = {};
#pragma GCC unroll 2
  for (int64_t group = 0; group < layer.num_inputs / kInputsTogether; ++group) {
    if (group % kGroupsOfLine == 0) __builtin_prefetch(from + kAhead);
    Weights weights[kRegistersOfBlock];
    unroll(kIndices<kRegistersOfBlock>, [&](int i) __attribute__((always_inline)) {
      weights[i] = load_weights(from + i * kWeights / kRegistersOfBlock);
    });
    unroll(kIndices<Rows>, [&](int row) __attribute__((always_inline)) {
      int32_t four;
      std::memcpy(&four, activations + row * kGroupBytes, kGroupBytes);
      const Activations everywhere = all_activations(four);
      unroll(kIndices<kRegistersOfBlock>, [&](int i) __attribute__((always_inline)) {
        sums[row][i] = add_product(sums[row][i], everywhere, weights[i]);
      });
    });
    from += kWeights;
    activations += together * kGroupBytes;
  }
  unroll(kIndices<Rows>, [&](int row) __attribute__((always_inline)) {
    scale_back(layer, first, all_of(sums[row]), row_scales[row], y.at(first_row + row, first));
  });
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
