// softmax(q k / sqrt(d)) v of one query of one head over cached keys and values, which are kept in 16 or 32 bits and
// computed in 32.
#pragma once

#include <cstdint>

enum class Format : int32_t { kFloat32 = 0, kFloat16 = 1, kBfloat16 = 2 };

inline int64_t num_bytes(Format format) { return format == Format::kFloat32 ? 4 : 2; }

// `keys` and `values` [length, head_dim]; `scores` is memory of `length` floats. The head_dim is a multiple of 16 and at
// most 128.
void attend(Format format, const float* query, const void* keys, const void* values, int64_t length, int64_t head_dim,
            float* scores, float* out);

// Keeps numbers in a format, rounded to the nearest. Their number is a multiple of 16.
void keep(Format format, const float* numbers, int64_t number, void* to);
