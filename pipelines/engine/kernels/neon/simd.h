// 16 numbers at once, in four registers of NEON: the same operations in the same order as avx512/simd.h has, so that their
// results are the same to the last bit.
#pragma once

#include <arm_neon.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

constexpr int kRegisters = 8;  // of 16 numbers, as four are one

struct Floats {
  float32x4_t of[4];
};

struct Integers {
  int32x4_t of[4];
};

// 16 numbers of what `four(i)` gives for each register.
template <typename Four>
static inline Floats floats(Four four) {
  return {four(0), four(1), four(2), four(3)};
}
template <typename Four>
static inline Integers integers(Four four) {
  return {four(0), four(1), four(2), four(3)};
}

static inline Floats operator+(Floats a, Floats b) { return floats([&](int i) { return a.of[i] + b.of[i]; }); }
static inline Floats operator-(Floats a, Floats b) { return floats([&](int i) { return a.of[i] - b.of[i]; }); }
static inline Floats operator*(Floats a, Floats b) { return floats([&](int i) { return a.of[i] * b.of[i]; }); }
static inline Floats operator/(Floats a, Floats b) { return floats([&](int i) { return a.of[i] / b.of[i]; }); }

static inline Floats all(float number) { return floats([&](int) { return vdupq_n_f32(number); }); }
static inline Integers all(int32_t number) { return integers([&](int) { return vdupq_n_s32(number); }); }

static inline Floats load(const float* from) { return floats([&](int i) { return vld1q_f32(from + 4 * i); }); }
static inline Integers load(const int32_t* from) { return integers([&](int i) { return vld1q_s32(from + 4 * i); }); }
static inline void store(float* to, Floats numbers) {
  for (int i = 0; i < 4; ++i) vst1q_f32(to + 4 * i, numbers.of[i]);
}

// The first so many, and zeros.
template <typename Number>
static inline auto load(const Number* from, int64_t number) {
  if (number >= 16) return load(from);
  Number copied[16] = {};
  std::memcpy(copied, from, std::max<int64_t>(0, number) * sizeof(Number));
  return load(copied);
}
static inline void store(float* to, Floats numbers, int64_t number) {
  if (number >= 16) return store(to, numbers);
  float copied[16];
  store(copied, numbers);
  std::memcpy(to, copied, std::max<int64_t>(0, number) * sizeof(float));
}

// The first so many of `numbers`, and the rest of `others`.
static inline Floats choose(int64_t number, Floats numbers, Floats others) {
  if (number >= 16) return numbers;
  float chosen[16];
  store(chosen, others);
  store(chosen, numbers, number);
  return load(chosen);
}

static inline Floats load_float16(const uint16_t* from) {
  return floats([&](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from + 4 * i))); });
}
static inline void store_float16(uint16_t* to, Floats numbers) {
  for (int i = 0; i < 4; ++i) vst1_u16(to + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(numbers.of[i])));
}

// From and to 16 bits, of which there are no more.
static inline Integers load_unsigned(const uint16_t* from) {
  return integers([&](int i) { return vreinterpretq_s32_u32(vmovl_u16(vld1_u16(from + 4 * i))); });
}
static inline void store_unsigned(uint16_t* to, Integers numbers) {
  for (int i = 0; i < 4; ++i) vst1_u16(to + 4 * i, vmovn_u32(vreinterpretq_u32_s32(numbers.of[i])));
}

// a b + c, and c - a b
static inline Floats multiply_add(Floats a, Floats b, Floats c) {
  return floats([&](int i) { return vfmaq_f32(c.of[i], a.of[i], b.of[i]); });
}
static inline Floats subtract_product(Floats a, Floats b, Floats c) {
  return floats([&](int i) { return vfmsq_f32(c.of[i], a.of[i], b.of[i]); });
}

// b where one of them is NaN, which NEON's own maximum would return
static inline float32x4_t larger(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
static inline Floats larger(Floats a, Floats b) {
  return floats([&](int i) { return larger(a.of[i], b.of[i]); });
}
static inline Floats magnitude(Floats numbers) {
  return floats([&](int i) { return vabsq_f32(numbers.of[i]); });
}
static inline Floats rounded(Floats numbers) {
  return floats([&](int i) { return vrndnq_f32(numbers.of[i]); });
}

static inline float sum(Floats numbers) {
  const float32x4_t four = (numbers.of[0] + numbers.of[2]) + (numbers.of[1] + numbers.of[3]);
  const float32x2_t two = vget_low_f32(four) + vget_high_f32(four);
  return two[0] + two[1];
}
static inline float largest(Floats numbers) {
  return vmaxvq_f32(larger(larger(numbers.of[0], numbers.of[2]), larger(numbers.of[1], numbers.of[3])));
}

static inline Integers add(Integers a, Integers b) {
  return integers([&](int i) { return vaddq_s32(a.of[i], b.of[i]); });
}
static inline Integers subtract(Integers a, Integers b) {
  return integers([&](int i) { return vsubq_s32(a.of[i], b.of[i]); });
}
static inline Integers bitwise_and(Integers a, Integers b) {
  return integers([&](int i) { return vandq_s32(a.of[i], b.of[i]); });
}
static inline Integers larger(Integers a, Integers b) {
  return integers([&](int i) { return vmaxq_s32(a.of[i], b.of[i]); });
}
static inline int32_t largest(Integers numbers) {
  return vmaxvq_s32(vmaxq_s32(vmaxq_s32(numbers.of[0], numbers.of[1]), vmaxq_s32(numbers.of[2], numbers.of[3])));
}
template <int Bits>
static inline Integers shift_left(Integers numbers) {
  return integers([&](int i) { return vshlq_n_s32(numbers.of[i], Bits); });
}
template <int Bits>
static inline Integers shift_right(Integers numbers) {
  return integers([&](int i) {
    return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(numbers.of[i]), Bits));
  });
}

static inline Integers bits_of(Floats numbers) {
  return integers([&](int i) { return vreinterpretq_s32_f32(numbers.of[i]); });
}
static inline Floats floats_of_bits(Integers bits) {
  return floats([&](int i) { return vreinterpretq_f32_s32(bits.of[i]); });
}
static inline Integers to_nearest(Floats numbers) {
  return integers([&](int i) { return vcvtnq_s32_f32(numbers.of[i]); });
}
static inline Floats to_floats(Integers numbers) {
  return floats([&](int i) { return vcvtq_f32_s32(numbers.of[i]); });
}

// x 2^n, for whole n of a usual number
static inline Floats scale_by_power(Floats x, Floats n) {
  return x * floats_of_bits(shift_left<23>(add(to_nearest(n), all(127))));
}
