// What encoder and decoder have in common: rows that pass through layers, each with its own adapter.
//
// The threads of a team share the outputs of a product and the heads of attention, in small pieces as they come to them:
// one that another process has delayed does fewer. They wait for each other around these. What lies between is done row by
// row, and a row stays with its thread: what an adapter adds, the residual, the norm, and rounding for the next product.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "int8.h"
#include "low_rank.h"
#include "numbers.h"

struct Norm {
  const float *weight, *bias;
};

struct Rows {
  int64_t num_rows, width, inner_width;
  const int64_t* order;         // [rows], in which threads share the rows: those of one adapter together
  const void* const* adapters;  // [rows], of each what it adds to the layers, or null; null if no row has one
  float* hidden;                // [rows, width]: embedded tokens before, the normalised output after

  bool are_worth_threads() const { return num_rows * width * width >= kWorthThreads; }
};

// Rows that are the tokens of sources, one source after the other.
struct Tokens {
  Rows rows;
  int64_t num_sources;
  const int64_t* ends;  // [sources], the row behind the last of each

  int64_t first(int64_t source) const { return source == 0 ? 0 : ends[source - 1]; }
};

constexpr float kEpsilon = 1e-5f;

static inline void add(const float* other, int64_t length, float* to) {
  for (int64_t i = 0; i < length; i += 16)
    store(to + i, load(to + i) + load(other + i));
}

static inline void relu(float* row, int64_t length) {
  for (int64_t i = 0; i < length; i += 16)
    store(row + i, larger(load(row + i), all(0.0f)));
}

static inline void normalise(const float* row, int64_t length, const Norm& norm, float* to) {
  Floats total = all(0.0f), squares = all(0.0f);
  for (int64_t i = 0; i < length; i += 16) total = total + load(row + i);
  const Floats mean = all(sum(total) / length);
  for (int64_t i = 0; i < length; i += 16) {
    const Floats centred = load(row + i) - mean;
    squares = multiply_add(centred, centred, squares);
  }
  const Floats factor = all(1.0f / std::sqrt(sum(squares) / length + kEpsilon));
  for (int64_t i = 0; i < length; i += 16)
    store(to + i, multiply_add((load(row + i) - mean) * factor, load(norm.weight + i), load(norm.bias + i)));
}

// Made by one thread, and used by all of a team: each calls every method, in the same order. `Additions` is what an
// adapter adds to one layer.
template <typename Additions>
class Layers {
 protected:
  explicit Layers(const Rows& rows) : rows_(rows), rounded_(memory(rows)) {}

  // All layers, one after the other; `attention(index, layer)` takes rows from `start` for qkv to `start` for fc1.
  template <typename Layer, typename Attention>
  void pass(const Layer* layers, int64_t num_layers, const Norm& norm, Attention attention) const {
    for_each_row([&](int64_t row) { start(row, layers->self_norm, layers->qkv); });
    for (int64_t index = 0; index < num_layers; ++index) {
      attention(index, layers[index]);
      feed_forward(index, layers[index].fc1, layers[index].fc2, [&](int64_t row) {
        if (index + 1 < num_layers)
          start(row, layers[index + 1].self_norm, layers[index + 1].qkv);
        else
          normalise(hidden(row), rows_.width, norm, hidden(row));
      });
    }
  }

  // Normalise a row, and round it for the product with a layer.
  void start(int64_t row, const Norm& norm, const Int8Layer& layer) const {
    float* const input = input_ + row * rows_.width;
    normalise(hidden(row), rows_.width, norm, input);
    rounded_.set(row, input, layer);
  }

  // y = layer(what was rounded of x)
  void multiply(int64_t index, LowRank Additions::*addition, const Int8Layer& layer, const float* x, float* y) const {
    rounded_.multiply(layer, y);
    adapt(index, addition, layer, x, y);
  }

  // Round x for the products with layers that take it.
  void round(const float* x, const Int8Layer& layer) const {
    for_each_row([&](int64_t row) { rounded_.set(row, x + row * layer.num_inputs, layer); });
  }

  // hidden += layer(x), and what is next for each row, which is still at hand then.
  template <typename Next>
  void finish(int64_t index, LowRank Additions::*addition, const Int8Layer& layer, const float* x, Next next) const {
    round(x, layer);
    add_product(index, addition, layer, x, next);
  }

  const Rows& rows_;
  float *input_, *product_, *inner_;  // [rows, width], [rows, 3 width] and [rows, inner_width]

 private:
  // Of the calling thread, for the length of its call.
  RoundedRows memory(const Rows& rows) {
    static thread_local std::vector<float> numbers;
    static thread_local std::vector<uint8_t> activations;
    const int64_t number = rows.num_rows * (4 * rows.width + rows.inner_width + 1);
    const int64_t num_bytes = RoundedRows::num_bytes(rows.num_rows, std::max(rows.width, rows.inner_width));
    if (static_cast<int64_t>(numbers.size()) < number) numbers.resize(number);
    if (static_cast<int64_t>(activations.size()) < num_bytes) activations.resize(num_bytes);
    input_ = numbers.data();
    product_ = input_ + rows.num_rows * rows.width;
    inner_ = product_ + rows.num_rows * 3 * rows.width;
    return RoundedRows(activations.data(), inner_ + rows.num_rows * rows.inner_width, rows.num_rows);
  }

  // What `start` began for fc1.
  template <typename Next>
  void feed_forward(int64_t index, const Int8Layer& fc1, const Int8Layer& fc2, Next next) const {
    multiply(index, &Additions::fc1, fc1, input_, inner_);
    for_each_row([&](int64_t row) {
      float* const inner = inner_ + row * rows_.inner_width;
      relu(inner, rows_.inner_width);
      rounded_.set(row, inner, fc2);
    });
    add_product(index, &Additions::fc2, fc2, inner_, next);
  }

  template <typename Next>
  void add_product(int64_t index, LowRank Additions::*addition, const Int8Layer& layer, const float* x,
                   Next next) const {
    multiply(index, addition, layer, x, product_);
    for_each_row([&](int64_t row) {
      add(product_ + row * rows_.width, rows_.width, hidden(row));
      next(row);
    });
  }

  // Adds what the rows' adapters make of x.
  void adapt(int64_t index, LowRank Additions::*addition, const Int8Layer& layer, const float* x, float* y) const {
    if (!rows_.adapters) return;
    const auto [first, end] = own_rows();
    for (const int64_t* row = first; row < end;) {
      const auto* const adapter = static_cast<const Additions*>(rows_.adapters[*row]);
      int64_t alike = 1;
      while (alike < kMostAlike && row + alike < end && rows_.adapters[row[alike]] == adapter) ++alike;
      if (adapter) add_low_rank(adapter[index].*addition, row, alike, x, layer.num_inputs, y, layer.num_outputs);
      row += alike;
    }
#pragma omp barrier
  }

  // A thread's share of the rows is always the same: between operations on rows nobody waits.
  std::pair<const int64_t*, const int64_t*> own_rows() const {
    const int64_t thread = omp_get_thread_num(), num_threads = omp_get_num_threads();
    return {rows_.order + rows_.num_rows * thread / num_threads,
            rows_.order + rows_.num_rows * (thread + 1) / num_threads};
  }

  template <typename Do>
  void for_each_row(Do work) const {
    const auto [first, end] = own_rows();
    std::for_each(first, end, work);
  }

  float* hidden(int64_t row) const { return rows_.hidden + row * rows_.width; }

  RoundedRows rounded_;
};
