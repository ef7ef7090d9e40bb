// What NEON multiplies: numbers of 8 bits that have a sign, of which it adds four products at once, as AVX-512's VNNI does
// (DotProd: in all processors of Arm's v8.4 and in most since 2018).
#pragma once

#include <arm_neon.h>

#include <cstdint>

#include "simd.h"

using Sums = int32x4_t;
using Weights = int8x16_t;
using Activations = int32x2_t;

// 4 outputs' weights of four inputs
inline Weights load_weights(const int8_t* from) { return vld1q_s8(from); }

// A row's, for all outputs
inline Activations all_activations(int32_t four_bytes) { return vcreate_s32(static_cast<uint32_t>(four_bytes)); }

// One after the other, as they are written: mixed by the compiler, sums need more registers than there are.
inline Sums add_product(Sums sums, Activations activations, Weights weights) {
  __asm__ volatile("sdot %0.4s, %1.16b, %2.4b[0]" : "+w"(sums) : "w"(weights), "w"(activations));
  return sums;
}

// A row's, of a block
inline Integers all_of(const Sums* sums) { return {sums[0], sums[1], sums[2], sums[3]}; }

// 16 activations, of 0 to 255
inline void store_activations(uint8_t* to, Integers numbers) {
  uint16_t words[16];
  store_unsigned(words, subtract(numbers, all(kActivationShift)));
  vst1q_u8(to, vcombine_u8(vmovn_u16(vld1q_u16(words)), vmovn_u16(vld1q_u16(words + 8))));
}
