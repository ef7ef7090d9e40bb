#include "attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "simd.h"

namespace {

constexpr int64_t kMostRegisters = 8;  // of a head

struct Float32 {
  using Stored = float;
  static __m512 load(const float* at) { return _mm512_loadu_ps(at); }
  static void store(float* at, __m512 numbers) { _mm512_storeu_ps(at, numbers); }
};

struct Float16 {
  using Stored = uint16_t;
  static __m512 load(const uint16_t* at) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
  }
  static void store(uint16_t* at, __m512 numbers) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), _mm512_cvtps_ph(numbers, _MM_FROUND_TO_NEAREST_INT));
  }
};

struct Bfloat16 {  // the upper half of a float32
  using Stored = uint16_t;
  static __m512 load(const uint16_t* at) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  static void store(uint16_t* at, __m512 numbers) {
    const __m512i bits = _mm512_castps_si512(numbers);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
  }
};

// Memory of the calling thread, until it asks for it again.
float* numbers(int64_t number) {
  static thread_local std::vector<float> memory;
  if (static_cast<int64_t>(memory.size()) < number) memory.resize(number);
  return memory.data();
}

// Turns scores into e^(score - largest), and returns their sum.
float exponentials(float* scores, int64_t length) {
  const __m512 largest = _mm512_set1_ps(largest_of(scores, length));
  __m512 sum = _mm512_setzero_ps();
  for (int64_t i = 0; i < length; i += 16) {
    const __mmask16 present = lanes(length - i);
    const __m512 share = exponential(_mm512_sub_ps(_mm512_maskz_loadu_ps(present, scores + i), largest));
    sum = _mm512_mask_add_ps(sum, present, sum, share);
    _mm512_mask_storeu_ps(scores + i, present, share);
  }
  return _mm512_reduce_add_ps(sum);
}

// `Width` registers hold a head.
template <typename Kept, int Width>
void attend_over(const float* query, const typename Kept::Stored* keys, const typename Kept::Stored* values,
                 int64_t length, float* out) {
  constexpr int64_t kHeadDim = Width * 16;
  float* const scores = numbers(length);
  __m512 parts[Width];
  for (int i = 0; i < Width; ++i) parts[i] = _mm512_loadu_ps(query + i * 16);
  const float scale = 1.0f / std::sqrt(static_cast<float>(kHeadDim));
  for (int64_t position = 0; position < length; ++position, keys += kHeadDim) {
    __m512 sum = _mm512_mul_ps(parts[0], Kept::load(keys));
    for (int i = 1; i < Width; ++i) sum = _mm512_fmadd_ps(parts[i], Kept::load(keys + i * 16), sum);
    scores[position] = _mm512_reduce_add_ps(sum) * scale;
  }
  const __m512 all = _mm512_set1_ps(exponentials(scores, length));
  for (__m512& part : parts) part = _mm512_setzero_ps();
  for (int64_t position = 0; position < length; ++position, values += kHeadDim) {
    const __m512 share = _mm512_set1_ps(scores[position]);
    for (int i = 0; i < Width; ++i) parts[i] = _mm512_fmadd_ps(share, Kept::load(values + i * 16), parts[i]);
  }
  for (int i = 0; i < Width; ++i) _mm512_storeu_ps(out + i * 16, _mm512_div_ps(parts[i], all));
}

template <typename Kept, int Width = 1>
void attend_in(const float* query, const void* keys, const void* values, int64_t length, int64_t head_dim,
               float* out) {
  using Stored = typename Kept::Stored;
  if (head_dim == Width * 16)
    attend_over<Kept, Width>(query, static_cast<const Stored*>(keys), static_cast<const Stored*>(values), length, out);
  else if constexpr (Width < kMostRegisters)
    attend_in<Kept, Width + 1>(query, keys, values, length, head_dim, out);
}

constexpr int kQueries = 4;  // at once: as many as leave registers for a head of each

// The same for neighbouring queries, over keys [head_dim][capacity], of which 16 have their scores at once, and values
// [length][head_dim]. Rows of queries and of results are so far apart.
template <int Width>
void attend_together(const float* queries, int64_t queries_apart, int64_t num_queries, const float* keys,
                     int64_t capacity, const float* values, int64_t length, float* scores, float* out,
                     int64_t out_apart) {
  constexpr int64_t kHeadDim = Width * 16;
  const float scale = 1.0f / std::sqrt(static_cast<float>(kHeadDim));
  float own[kQueries][kHeadDim] = {};
  for (int64_t query = 0; query < num_queries; ++query)
    for (int64_t i = 0; i < kHeadDim; ++i) own[query][i] = queries[query * queries_apart + i] * scale;
  for (int64_t position = 0; position < length; position += 16) {
    __m512 sums[kQueries];
    for (__m512& sum : sums) sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < kHeadDim; ++i) {
      const __m512 key = _mm512_loadu_ps(keys + i * capacity + position);
      for (int query = 0; query < kQueries; ++query)
        sums[query] = _mm512_fmadd_ps(_mm512_set1_ps(own[query][i]), key, sums[query]);
    }
    for (int query = 0; query < kQueries; ++query) _mm512_storeu_ps(scores + query * capacity + position, sums[query]);
  }
  __m512 all[kQueries], parts[kQueries][Width];
  for (int query = 0; query < kQueries; ++query) {
    all[query] = _mm512_set1_ps(exponentials(scores + query * capacity, length));
    for (__m512& part : parts[query]) part = _mm512_setzero_ps();
  }
  for (int64_t position = 0; position < length; ++position, values += kHeadDim) {
    for (int query = 0; query < kQueries; ++query) {
      const __m512 share = _mm512_set1_ps(scores[query * capacity + position]);
      for (int i = 0; i < Width; ++i)
        parts[query][i] = _mm512_fmadd_ps(share, _mm512_loadu_ps(values + i * 16), parts[query][i]);
    }
  }
  for (int64_t query = 0; query < num_queries; ++query)
    for (int i = 0; i < Width; ++i)
      _mm512_storeu_ps(out + query * out_apart + i * 16, _mm512_div_ps(parts[query][i], all[query]));
}

template <int Width = 1>
void attend_within(const float* qkv, int64_t width, int64_t length, int64_t head_dim, float* out) {
  if (head_dim != Width * 16) {
    if constexpr (Width < kMostRegisters) attend_within<Width + 1>(qkv, width, length, head_dim, out);
    return;
  }
  const int64_t capacity = (length + 15) / 16 * 16;
  float* const keys = numbers((head_dim + kQueries) * capacity + head_dim * length);
  float* const scores = keys + head_dim * capacity;
  float* const values = scores + kQueries * capacity;
  for (int64_t position = 0; position < length; ++position) {
    const float* const key = qkv + position * 3 * width + width;
    for (int64_t i = 0; i < head_dim; ++i) keys[i * capacity + position] = key[i];
    std::copy_n(key + width, head_dim, values + position * head_dim);
  }
  for (int64_t query = 0; query < length; query += kQueries)
    attend_together<Width>(qkv + query * 3 * width, 3 * width, std::min<int64_t>(kQueries, length - query), keys,
                           capacity, values, length, scores, out + query * width, width);
}

template <typename Kept>
void keep_in(const float* numbers, int64_t number, void* to) {
  for (int64_t i = 0; i < number; i += 16)
    Kept::store(static_cast<typename Kept::Stored*>(to) + i, _mm512_loadu_ps(numbers + i));
}

}  // namespace

void attend(Format format, const float* query, const void* keys, const void* values, int64_t length, int64_t head_dim,
            float* out) {
  switch (format) {
    case Format::kFloat32: return attend_in<Float32>(query, keys, values, length, head_dim, out);
    case Format::kFloat16: return attend_in<Float16>(query, keys, values, length, head_dim, out);
    case Format::kBfloat16: return attend_in<Bfloat16>(query, keys, values, length, head_dim, out);
  }
}

void keep(Format format, const float* numbers, int64_t number, void* to) {
  switch (format) {
    case Format::kFloat32: return keep_in<Float32>(numbers, number, to);
    case Format::kFloat16: return keep_in<Float16>(numbers, number, to);
    case Format::kBfloat16: return keep_in<Bfloat16>(numbers, number, to);
  }
}

void attend_to_each_other(const float* qkv, int64_t width, int64_t length, int64_t head_dim, float* out) {
  attend_within(qkv, width, length, head_dim, out);
}
