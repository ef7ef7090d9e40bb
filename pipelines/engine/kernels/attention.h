// softmax(q k / sqrt(d)) v of one head, whose size is a multiple of 16 and at most 128: of one query over cached keys and
// values, which are kept in 16 or 32 bits and computed in 32, or of all tokens of a source.
#pragma once

#include <cstdint>

enum class Format : int32_t { kFloat32 = 0, kFloat16 = 1, kBfloat16 = 2 };

inline int64_t num_bytes(Format format) { return format == Format::kFloat32 ? 4 : 2; }

// `keys` and `values` [length, head_dim].
void attend(Format format, const float* query, const void* keys, const void* values, int64_t length, int64_t head_dim,
            float* out);

// `qkv` [length, 3 width], of which a head's queries come first, and its keys and values `width` further on each.
void attend_to_each_other(const float* qkv, int64_t width, int64_t length, int64_t head_dim, float* out);

// Keeps numbers in a format, rounded to the nearest. Their number is a multiple of 16.
void keep(Format format, const float* numbers, int64_t number, void* to);
