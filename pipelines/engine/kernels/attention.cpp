#include "attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "numbers.h"

namespace {

constexpr int64_t kMostRegisters = 8;  // of a head

struct Float32 {
  using Stored = float;
  static Floats load(const float* from) { return ::load(from); }
  static void store(float* to, Floats numbers) { ::store(to, numbers); }
};

struct Float16 {
  using Stored = uint16_t;
  static Floats load(const uint16_t* from) { return load_float16(from); }
  static void store(uint16_t* to, Floats numbers) { store_float16(to, numbers); }
};

struct Bfloat16 {  // the upper half of a float32
  using Stored = uint16_t;
  static Floats load(const uint16_t* from) { return floats_of_bits(shift_left<16>(load_unsigned(from))); }
  static void store(uint16_t* to, Floats numbers) {
    const Integers bits = bits_of(numbers), odd = bitwise_and(shift_right<16>(bits), all(1));
    store_unsigned(to, shift_right<16>(add(bits, add(odd, all(0x7FFF)))));
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
  const Floats largest = all(largest_of(scores, length));
  Floats total = all(0.0f);
  for (int64_t i = 0; i < length; i += 16) {
    const Floats share = exponential(load(scores + i, length - i) - largest);
    total = choose(length - i, total + share, total);
    store(scores + i, share, length - i);
  }
  return sum(total);
}

// `Width` registers hold a head.
template <typename Kept, int Width>
void attend_over(const float* query, const typename Kept::Stored* keys, const typename Kept::Stored* values,
                 int64_t length, float* out) {
  constexpr int64_t kHeadDim = Width * 16;
  float* const scores = numbers(length);
  Floats parts[Width];
  for (int i = 0; i < Width; ++i) parts[i] = load(query + i * 16);
  const float scale = 1.0f / std::sqrt(static_cast<float>(kHeadDim));
  for (int64_t position = 0; position < length; ++position, keys += kHeadDim) {
    Floats products = parts[0] * Kept::load(keys);
    for (int i = 1; i < Width; ++i) products = multiply_add(parts[i], Kept::load(keys + i * 16), products);
    scores[position] = sum(products) * scale;
  }
  const Floats total = all(exponentials(scores, length));
  for (Floats& part : parts) part = all(0.0f);
  for (int64_t position = 0; position < length; ++position, values += kHeadDim) {
    const Floats share = all(scores[position]);
    for (int i = 0; i < Width; ++i) parts[i] = multiply_add(share, Kept::load(values + i * 16), parts[i]);
  }
  for (int i = 0; i < Width; ++i) store(out + i * 16, parts[i] / total);
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

constexpr int kQueries = kRegisters >= 32 ? 4 : 2;  // at once: as many as leave registers for a head of each

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
    Floats sums[kQueries];
    for (Floats& sum : sums) sum = all(0.0f);
    for (int64_t i = 0; i < kHeadDim; ++i) {
      const Floats key = load(keys + i * capacity + position);
      for (int query = 0; query < kQueries; ++query)
        sums[query] = multiply_add(all(own[query][i]), key, sums[query]);
    }
    for (int query = 0; query < kQueries; ++query) store(scores + query * capacity + position, sums[query]);
  }
  Floats totals[kQueries], parts[kQueries][Width];
  for (int query = 0; query < kQueries; ++query) {
    totals[query] = all(exponentials(scores + query * capacity, length));
    for (Floats& part : parts[query]) part = all(0.0f);
  }
  for (int64_t position = 0; position < length; ++position, values += kHeadDim) {
    for (int query = 0; query < kQueries; ++query) {
      const Floats share = all(scores[query * capacity + position]);
      for (int i = 0; i < Width; ++i)
        parts[query][i] = multiply_add(share, load(values + i * 16), parts[query][i]);
    }
  }
  for (int64_t query = 0; query < num_queries; ++query)
    for (int i = 0; i < Width; ++i)
      store(out + query * out_apart + i * 16, parts[query][i] / totals[query]);
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
    Kept::store(static_cast<typename Kept::Stored*>(to) + i, load(numbers + i));
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
