// What AVX2 multiplies: numbers of 16 bits, of which it adds pairs. Its instruction for 8 bits adds in 16, which would
// overflow: others lose a bit of the activations to it, or exactness.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "simd.h"

using Sums = __m256i;
using Weights = __m256i;
using Activations = __m256i;

// 8 outputs' weights of two inputs
inline Weights load_weights(const int8_t* from) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

// A row's, for all outputs
inline Activations all_activations(int32_t four_bytes) { return _mm256_set1_epi32(four_bytes); }

// One after the other, as they are written: mixed by the compiler, sums need more registers than there are.
inline Sums add_product(Sums sums, Activations activations, Weights weights) {
  const __m256i products = _mm256_madd_epi16(activations, weights);
  __asm__ volatile("vpaddd %1, %0, %0" : "+x"(sums) : "x"(products));
  return sums;
}

// A row's, of a block
inline Integers all_of(const Sums* sums) { return {sums[0], sums[1]}; }

// 16 activations, of 0 to 255
inline void store_activations(uint8_t* to, Integers numbers) {
  store_unsigned(reinterpret_cast<uint16_t*>(to), numbers);
}
