// What the products of all processors have in common: see avx512/product.cpp and vectors/product.cpp.
#pragma once

#include "int8.h"
#include "simd.h"

constexpr int64_t kAhead = 8192;  // bytes that are asked for before they are needed

// Turns sums of one row into a block of its outputs, at `to`.
static inline void scale_back(const Int8Layer& layer, int64_t first, Integers sums, float row_scale, float* to) {
  const int64_t present = layer.num_outputs - first;
  const Floats bias = layer.bias ? load(layer.bias + first, present) : all(0.0f);
  const Floats product =
      to_floats(subtract(sums, load(layer.surplus + first, present))) * load(layer.scale + first, present);
  store(to, multiply_add(product, all(row_scale), bias), present);
}

// Where results will be written is fetched meanwhile: loads would wait for stores that wait for memory.
static inline void fetch_outputs(const Outputs& y, int64_t first_row, int64_t num_rows, int64_t first) {
  for (int64_t row = first_row; row < first_row + num_rows; ++row) __builtin_prefetch(y.at(row, first), 1);
}
