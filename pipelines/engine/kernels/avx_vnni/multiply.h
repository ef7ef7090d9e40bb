// What AVX-VNNI multiplies: numbers of 8 bits, of which it adds four at once, as AVX-512's VNNI does.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "simd.h"

using Sums = __m256i;
using Weights = __m256i;
using Activations = __m256i;

// 8 outputs' weights of four inputs
inline Weights load_weights(const int8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }

// A row's, for all outputs
inline Activations all_activations(int32_t four_bytes) { return _mm256_set1_epi32(four_bytes); }

// One after the other, as they are written: mixed by the compiler, sums need more registers than there are.
inline Sums add_product(Sums sums, Activations activations, Weights weights) {
  __asm__ volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums) : "x"(activations), "x"(weights));
  return sums;
}

// A row's, of a block
inline Integers all_of(const Sums* sums) { return {sums[0], sums[1]}; }

// 16 activations, of 0 to 255
inline void store_activations(uint8_t* to, Integers numbers) {
  const __m256i words = _mm256_packus_epi32(numbers.low, numbers.high);  // each half of 128 bits for itself
  const __m256i ordered = _mm256_permute4x64_epi64(words, 0b11011000);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                   _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
}
