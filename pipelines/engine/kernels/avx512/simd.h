// 16 numbers at once, as kernels compute with them: in one register of AVX-512. See avx/simd.h and neon/simd.h for the same without it.
#pragma once

#include <immintrin.h>

#include <cstdint>

constexpr int kRegisters = 32;  // of 16 numbers

using Floats = __m512;
using Integers = __m512i;

// The first so many of 16: all if there are more, none if there are none.
static inline __mmask16 first_of(int64_t number) { return number >= 16 ? 0xFFFF : number <= 0 ? 0 : (1u << number) - 1; }

static inline Floats all(float number) { return _mm512_set1_ps(number); }
static inline Integers all(int32_t number) { return _mm512_set1_epi32(number); }

static inline Floats load(const float* from) { return _mm512_loadu_ps(from); }
static inline Integers load(const int32_t* from) { return _mm512_loadu_si512(from); }
static inline void store(float* to, Floats numbers) { _mm512_storeu_ps(to, numbers); }

// The first so many, and zeros.
static inline Floats load(const float* from, int64_t number) { return _mm512_maskz_loadu_ps(first_of(number), from); }
static inline Integers load(const int32_t* from, int64_t number) {
  return _mm512_maskz_loadu_epi32(first_of(number), from);
}
static inline void store(float* to, Floats numbers, int64_t number) {
  _mm512_mask_storeu_ps(to, first_of(number), numbers);
}

// The first so many of `numbers`, and the rest of `others`.
static inline Floats choose(int64_t number, Floats numbers, Floats others) {
  return _mm512_mask_mov_ps(others, first_of(number), numbers);
}

static inline Floats load_float16(const uint16_t* from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
static inline void store_float16(uint16_t* to, Floats numbers) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtps_ph(numbers, _MM_FROUND_TO_NEAREST_INT));
}

// From and to 16 bits, of which there are no more.
static inline Integers load_unsigned(const uint16_t* from) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
static inline void store_unsigned(uint16_t* to, Integers numbers) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(numbers));
}

// a b + c, and c - a b
static inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
static inline Floats subtract_product(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }

// b where one of them is NaN
static inline Floats larger(Floats a, Floats b) { return _mm512_max_ps(a, b); }
static inline Floats magnitude(Floats numbers) { return _mm512_abs_ps(numbers); }
static inline Floats rounded(Floats numbers) { return _mm512_roundscale_ps(numbers, _MM_FROUND_TO_NEAREST_INT); }
// x 2^n, for whole n of a usual number
static inline Floats scale_by_power(Floats x, Floats n) { return _mm512_scalef_ps(x, n); }

static inline float sum(Floats numbers) { return _mm512_reduce_add_ps(numbers); }
static inline float largest(Floats numbers) { return _mm512_reduce_max_ps(numbers); }

static inline Integers add(Integers a, Integers b) { return _mm512_add_epi32(a, b); }
static inline Integers subtract(Integers a, Integers b) { return _mm512_sub_epi32(a, b); }
static inline Integers bitwise_and(Integers a, Integers b) { return _mm512_and_si512(a, b); }
static inline Integers larger(Integers a, Integers b) { return _mm512_max_epi32(a, b); }
static inline int32_t largest(Integers numbers) { return _mm512_reduce_max_epi32(numbers); }
template <int Bits>
static inline Integers shift_left(Integers numbers) { return _mm512_slli_epi32(numbers, Bits); }
template <int Bits>
static inline Integers shift_right(Integers numbers) { return _mm512_srli_epi32(numbers, Bits); }

static inline Integers bits_of(Floats numbers) { return _mm512_castps_si512(numbers); }
static inline Floats floats_of_bits(Integers bits) { return _mm512_castsi512_ps(bits); }
static inline Integers to_nearest(Floats numbers) { return _mm512_cvtps_epi32(numbers); }
static inline Floats to_floats(Integers numbers) { return _mm512_cvtepi32_ps(numbers); }
