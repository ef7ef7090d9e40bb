// Functions of many numbers, by instructions for 16 at once: simd.h is the one of avx512/, avx/ or neon/.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>

#include "simd.h"

// -inf if there is none.
static inline float largest_of(const float* numbers, int64_t length) {
  Floats most = all(-std::numeric_limits<float>::infinity());
  for (int64_t i = 0; i < length; i += 16)
    most = choose(length - i, larger(most, load(numbers + i, length - i)), most);
  return largest(most);
}

// e^x for x <= 0: 2^n e^r with |r| <= ln(2) / 2, and a polynomial of e^r with an error below 2e-7 (Cephes, expf).
static inline Floats exponential(Floats x) {
  x = larger(all(-87.0f), x);  // in this order NaN stays NaN
  const Floats n = rounded(x * all(1.44269504f));
  Floats r = subtract_product(n, all(0.693359375f), x);
  r = subtract_product(n, all(-2.12194440e-4f), r);
  Floats sum = all(1.9875691500e-4f);
  for (const float coefficient : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 0.5f})
    sum = multiply_add(sum, r, all(coefficient));
  return scale_by_power(multiply_add(sum, r * r, r) + all(1.0f), n);
}
