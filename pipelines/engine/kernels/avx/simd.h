// 16 numbers at once, in two registers of AVX2: the same operations in the same order as avx512/simd.h has, so that their
// results are the same to the last bit.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

constexpr int kRegisters = 8;  // of 16 numbers, as two are one

struct Floats {
  __m256 low, high;

  friend Floats operator+(Floats a, Floats b) { return {a.low + b.low, a.high + b.high}; }
  friend Floats operator-(Floats a, Floats b) { return {a.low - b.low, a.high - b.high}; }
  friend Floats operator*(Floats a, Floats b) { return {a.low * b.low, a.high * b.high}; }
  friend Floats operator/(Floats a, Floats b) { return {a.low / b.low, a.high / b.high}; }
};

struct Integers {
  __m256i low, high;
};

// The first so many of 16: all if there are more, none if there are none.
static inline Integers first_of(int64_t number) {
  alignas(32) static const int32_t kOnesAndZeros[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
  const int32_t* const from = kOnesAndZeros + 16 - std::clamp<int64_t>(number, 0, 16);
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 8))};
}

static inline Floats all(float number) { return {_mm256_set1_ps(number), _mm256_set1_ps(number)}; }
static inline Integers all(int32_t number) { return {_mm256_set1_epi32(number), _mm256_set1_epi32(number)}; }

static inline Floats load(const float* from) { return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}; }
static inline Integers load(const int32_t* from) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 8))};
}
static inline void store(float* to, Floats numbers) {
  _mm256_storeu_ps(to, numbers.low);
  _mm256_storeu_ps(to + 8, numbers.high);
}

// The first so many, and zeros.
static inline Floats load(const float* from, int64_t number) {
  if (number >= 16) return load(from);
  const Integers first = first_of(number);
  return {_mm256_maskload_ps(from, first.low), _mm256_maskload_ps(from + 8, first.high)};
}
static inline Integers load(const int32_t* from, int64_t number) {
  if (number >= 16) return load(from);
  const Integers first = first_of(number);
  return {_mm256_maskload_epi32(from, first.low), _mm256_maskload_epi32(from + 8, first.high)};
}
static inline void store(float* to, Floats numbers, int64_t number) {
  if (number >= 16) return store(to, numbers);
  const Integers first = first_of(number);
  _mm256_maskstore_ps(to, first.low, numbers.low);
  _mm256_maskstore_ps(to + 8, first.high, numbers.high);
}

// The first so many of `numbers`, and the rest of `others`.
static inline Floats choose(int64_t number, Floats numbers, Floats others) {
  if (number >= 16) return numbers;
  const Integers first = first_of(number);
  return {_mm256_blendv_ps(others.low, numbers.low, _mm256_castsi256_ps(first.low)),
          _mm256_blendv_ps(others.high, numbers.high, _mm256_castsi256_ps(first.high))};
}

static inline Floats load_float16(const uint16_t* from) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 8)))};
}
static inline void store_float16(uint16_t* to, Floats numbers) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(numbers.low, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 8), _mm256_cvtps_ph(numbers.high, _MM_FROUND_TO_NEAREST_INT));
}

// From and to 16 bits, of which there are no more.
static inline Integers load_unsigned(const uint16_t* from) {
  return {_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))),
          _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 8)))};
}
static inline void store_unsigned(uint16_t* to, Integers numbers) {
  const __m256i packed = _mm256_packus_epi32(numbers.low, numbers.high);  // each half of 128 bits for itself
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute4x64_epi64(packed, 0b11011000));
}

// a b + c, and c - a b
static inline Floats multiply_add(Floats a, Floats b, Floats c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
static inline Floats subtract_product(Floats a, Floats b, Floats c) {
  return {_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
}

// b where one of them is NaN
static inline Floats larger(Floats a, Floats b) {
  return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
static inline Floats magnitude(Floats numbers) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, numbers.low), _mm256_andnot_ps(sign, numbers.high)};
}
static inline Floats rounded(Floats numbers) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(numbers.low, kNearest), _mm256_round_ps(numbers.high, kNearest)};
}

static inline float sum(Floats numbers) {
  const __m256 eight = numbers.low + numbers.high;
  const __m128 four = _mm256_castps256_ps128(eight) + _mm256_extractf128_ps(eight, 1);
  const __m128 two = four + _mm_movehl_ps(four, four);
  return two[0] + two[1];
}
static inline float largest(Floats numbers) {
  const __m256 eight = _mm256_max_ps(numbers.low, numbers.high);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

static inline Integers add(Integers a, Integers b) {
  return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}
static inline Integers subtract(Integers a, Integers b) {
  return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)};
}
static inline Integers bitwise_and(Integers a, Integers b) {
  return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)};
}
static inline Integers larger(Integers a, Integers b) {
  return {_mm256_max_epi32(a.low, b.low), _mm256_max_epi32(a.high, b.high)};
}
static inline int32_t largest(Integers numbers) {
  const __m256i eight = _mm256_max_epi32(numbers.low, numbers.high);
  const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
  return std::max(_mm_extract_epi32(two, 0), _mm_extract_epi32(two, 1));
}
template <int Bits>
static inline Integers shift_left(Integers numbers) {
  return {_mm256_slli_epi32(numbers.low, Bits), _mm256_slli_epi32(numbers.high, Bits)};
}
template <int Bits>
static inline Integers shift_right(Integers numbers) {
  return {_mm256_srli_epi32(numbers.low, Bits), _mm256_srli_epi32(numbers.high, Bits)};
}

static inline Integers bits_of(Floats numbers) {
  return {_mm256_castps_si256(numbers.low), _mm256_castps_si256(numbers.high)};
}
static inline Floats floats_of_bits(Integers bits) {
  return {_mm256_castsi256_ps(bits.low), _mm256_castsi256_ps(bits.high)};
}
static inline Integers to_nearest(Floats numbers) {
  return {_mm256_cvtps_epi32(numbers.low), _mm256_cvtps_epi32(numbers.high)};
}
static inline Floats to_floats(Integers numbers) {
  return {_mm256_cvtepi32_ps(numbers.low), _mm256_cvtepi32_ps(numbers.high)};
}

// x 2^n, for whole n of a usual number
static inline Floats scale_by_power(Floats x, Floats n) {
  return x * floats_of_bits(shift_left<23>(add(to_nearest(n), all(127))));
}
