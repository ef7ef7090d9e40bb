// What the kernels share. They use AVX-512 with VNNI: see functions.py.
#pragma once

#include <immintrin.h>
#include <sys/mman.h>

#include <cstdint>
#include <initializer_list>
#include <limits>

// The first so many of 16 lanes: all if there are more, none if there are none.
static inline __mmask16 lanes(int64_t number) { return number >= 16 ? 0xFFFF : number <= 0 ? 0 : (1u << number) - 1; }

// -inf if there is none.
static inline float largest_of(const float* numbers, int64_t length) {
  __m512 most = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  for (int64_t i = 0; i < length; i += 16)
    most = _mm512_mask_max_ps(most, lanes(length - i), most, _mm512_maskz_loadu_ps(lanes(length - i), numbers + i));
  return _mm512_reduce_max_ps(most);
}

// e^x for x <= 0: 2^n e^r with |r| <= ln(2) / 2, and a polynomial of e^r with an error below 2e-7 (Cephes, expf).
static inline __m512 exponential(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-87.0f), x);  // in this order NaN stays NaN
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 sum = _mm512_set1_ps(1.9875691500e-4f);
  for (const float coefficient : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 0.5f})
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(coefficient));
  sum = _mm512_add_ps(_mm512_fmadd_ps(sum, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(sum, n);
}

// Fewer address look-ups. Memory that was not written yet can be had so, where the system offers it on request.
static inline void ask_for_huge_pages(void* memory, int64_t num_bytes) {
  constexpr uintptr_t kPage = 4096;
  const uintptr_t first = (reinterpret_cast<uintptr_t>(memory) + kPage - 1) / kPage * kPage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + num_bytes) / kPage * kPage;
  if (end > first) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
}
