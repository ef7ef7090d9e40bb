// One step of the decoder for all live rows, each at its own position and with its own adapter: all layers in one call.
//
// The threads of a team share the outputs of a product and the heads of attention, and wait for each other around them.
// What lies between these is done row by row, and a row stays with its thread: what an adapter adds, the residual, the
// norm, and rounding for the next product.

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "attention.h"
#include "int8.h"
#include "low_rank.h"
#include "simd.h"

extern "C" {

struct Norm {
  const float *weight, *bias;
};

struct DecoderLayer {
  Norm self_norm;
  Int8Layer qkv, self_out;
  Norm cross_norm;
  Int8Layer cross_q, cross_out;
  Norm ffn_norm;
  Int8Layer fc1, fc2;
};

struct LayerAdditions {
  LowRank qkv, self_out, cross_q, cross_out, fc1, fc2;
};

// `[layers, 2 (keys, values), sequences, heads, capacity, head_dim]`
struct Memory {
  char* start;
  int64_t num_sequences, capacity;
};

struct Step {
  int64_t num_layers, num_rows, num_heads, width, inner_width;
  const DecoderLayer* layers;
  Norm norm;
  const int64_t* order;                     // [rows], in which threads share the rows: those of one adapter together
  const int64_t* positions;                 // [rows]
  const int64_t* groups;                    // [rows], whose source each row attends to
  const int64_t* source_lengths;            // [groups]
  const LayerAdditions* const* adapters;    // [rows], of each its layers, or null; null if no row has one
  Memory self_kv, cross_kv;
  Format format;
  float* hidden;  // [rows, width]: embedded tokens before, the normalised output after
};
}

namespace {

constexpr float kEpsilon = 1e-5f;
constexpr int64_t kWorthThreads = 1 << 18;  // multiplications of a layer

void add(const float* other, int64_t length, float* to) {
  for (int64_t i = 0; i < length; i += 16)
    _mm512_storeu_ps(to + i, _mm512_add_ps(_mm512_loadu_ps(to + i), _mm512_loadu_ps(other + i)));
}

void relu(float* row, int64_t length) {
  for (int64_t i = 0; i < length; i += 16)
    _mm512_storeu_ps(row + i, _mm512_max_ps(_mm512_loadu_ps(row + i), _mm512_setzero_ps()));
}

void normalise(const float* row, int64_t length, const Norm& norm, float* to) {
  __m512 sum = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
  for (int64_t i = 0; i < length; i += 16) sum = _mm512_add_ps(sum, _mm512_loadu_ps(row + i));
  const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / length);
  for (int64_t i = 0; i < length; i += 16) {
    const __m512 centred = _mm512_sub_ps(_mm512_loadu_ps(row + i), mean);
    squares = _mm512_fmadd_ps(centred, centred, squares);
  }
  const __m512 factor = _mm512_set1_ps(1.0f / std::sqrt(_mm512_reduce_add_ps(squares) / length + kEpsilon));
  for (int64_t i = 0; i < length; i += 16) {
    const __m512 scaled = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(row + i), mean), factor);
    _mm512_storeu_ps(to + i, _mm512_fmadd_ps(scaled, _mm512_loadu_ps(norm.weight + i), _mm512_loadu_ps(norm.bias + i)));
  }
}

// What one thread of the team does; all of them call it.
class Worker {
 public:
  // `product` and `inner` are of the team: [rows, 3 width] and [rows, inner_width]; `input` [rows, width] as well.
  Worker(const Step& step, const RoundedRows& rounded, float* input, float* product, float* inner,
         std::vector<float>& scores)
      : step_(step), rounded_(rounded), input_(input), product_(product), inner_(inner), scores_(scores) {}

  void run() {
    for (int64_t index = 0; index < step_.num_layers; ++index) {
      const DecoderLayer& layer = step_.layers[index];
      self_attention(index, layer);
      cross_attention(index, layer);
      feed_forward(index, layer);
    }
    for_each_row([&](int64_t row) { normalise(hidden(row), step_.width, step_.norm, hidden(row)); });
  }

 private:
  void self_attention(int64_t index, const DecoderLayer& layer) {
    for_each_row([&](int64_t row) { start(row, layer.self_norm, layer.qkv); });
    rounded_.multiply(layer.qkv, product_);
    adapt(index, &LayerAdditions::qkv, layer.qkv, input_, product_);
    for_each_head([&](int64_t row, int64_t head) {
      const float* qkv = product_ + row * 3 * step_.width + head * head_dim();
      const int64_t position = step_.positions[row];
      char* keys = memory(step_.self_kv, index, 0, row, head);
      char* values = memory(step_.self_kv, index, 1, row, head);
      keep(step_.format, qkv + step_.width, head_dim(), keys + position * position_bytes());
      keep(step_.format, qkv + 2 * step_.width, head_dim(), values + position * position_bytes());
      attend_to(row, head, qkv, keys, values, position + 1);
    });
    finish(index, &LayerAdditions::self_out, layer.self_out, input_);
  }

  void cross_attention(int64_t index, const DecoderLayer& layer) {
    for_each_row([&](int64_t row) { start(row, layer.cross_norm, layer.cross_q); });
    rounded_.multiply(layer.cross_q, product_);
    adapt(index, &LayerAdditions::cross_q, layer.cross_q, input_, product_);
    for_each_head([&](int64_t row, int64_t head) {
      const int64_t group = step_.groups[row];
      attend_to(row, head, product_ + row * step_.width + head * head_dim(),
                memory(step_.cross_kv, index, 0, group, head), memory(step_.cross_kv, index, 1, group, head),
                step_.source_lengths[group]);
    });
    finish(index, &LayerAdditions::cross_out, layer.cross_out, input_);
  }

  void feed_forward(int64_t index, const DecoderLayer& layer) {
    for_each_row([&](int64_t row) { start(row, layer.ffn_norm, layer.fc1); });
    rounded_.multiply(layer.fc1, inner_);
    adapt(index, &LayerAdditions::fc1, layer.fc1, input_, inner_);
    for_each_row([&](int64_t row) { relu(inner_ + row * step_.inner_width, step_.inner_width); });
    finish(index, &LayerAdditions::fc2, layer.fc2, inner_);
  }

  // Normalise a row and round it for the product.
  void start(int64_t row, const Norm& norm, const Int8Layer& layer) {
    float* input = input_ + row * step_.width;
    normalise(hidden(row), step_.width, norm, input);
    rounded_.set(row, input, layer);
  }

  // hidden += layer(x)
  void finish(int64_t index, LowRank LayerAdditions::*addition, const Int8Layer& layer, const float* x) {
    for_each_row([&](int64_t row) { rounded_.set(row, x + row * layer.num_inputs, layer); });
    rounded_.multiply(layer, product_);
    adapt(index, addition, layer, x, product_);
    for_each_row([&](int64_t row) { add(product_ + row * step_.width, step_.width, hidden(row)); });
  }

  // Adds what the rows' adapters make of x.
  void adapt(int64_t index, LowRank LayerAdditions::*addition, const Int8Layer& layer, const float* x, float* y) {
    if (!step_.adapters) return;
    const auto [first, end] = own_rows();
    for (const int64_t* row = first; row < end;) {
      const LayerAdditions* const adapter = step_.adapters[*row];
      int64_t alike = 1;
      while (alike < kMostAlike && row + alike < end && step_.adapters[row[alike]] == adapter) ++alike;
      if (adapter)
        add_low_rank(adapter[index].*addition, row, alike, x, layer.num_inputs, y, layer.num_outputs);
      row += alike;
    }
#pragma omp barrier
  }

  void attend_to(int64_t row, int64_t head, const float* query, const char* keys, const char* values, int64_t length) {
    if (static_cast<int64_t>(scores_.size()) < length) scores_.resize(length);
    attend(step_.format, query, keys, values, length, head_dim(), scores_.data(),
           input_ + row * step_.width + head * head_dim());
  }

  // A thread's share of the rows is always the same: between operations on rows nobody waits.
  std::pair<const int64_t*, const int64_t*> own_rows() const {
    const int64_t thread = omp_get_thread_num(), num_threads = omp_get_num_threads();
    return {step_.order + step_.num_rows * thread / num_threads,
            step_.order + step_.num_rows * (thread + 1) / num_threads};
  }

  template <typename Do>
  void for_each_row(Do work) {
    const auto [first, end] = own_rows();
    std::for_each(first, end, work);
  }

  // The team waits for each other at the end.
  template <typename Do>
  void for_each_head(Do work) {
#pragma omp for collapse(2)
    for (int64_t row = 0; row < step_.num_rows; ++row)
      for (int64_t head = 0; head < step_.num_heads; ++head) work(row, head);
  }

  float* hidden(int64_t row) const { return step_.hidden + row * step_.width; }
  int64_t head_dim() const { return step_.width / step_.num_heads; }
  int64_t position_bytes() const { return head_dim() * num_bytes(step_.format); }

  char* memory(const Memory& memory, int64_t layer, int64_t kind, int64_t sequence, int64_t head) const {
    const int64_t place = ((layer * 2 + kind) * memory.num_sequences + sequence) * step_.num_heads + head;
    return memory.start + place * memory.capacity * position_bytes();
  }

  const Step& step_;
  const RoundedRows& rounded_;
  float *input_, *product_, *inner_;
  std::vector<float>& scores_;
};

}  // namespace

extern "C" void nllb_decoder_step(const Step* step) {
  static thread_local std::vector<float> numbers;
  static thread_local std::vector<uint8_t> activations;
  const int64_t rows = step->num_rows, widest = std::max(step->width, step->inner_width);
  numbers.resize(std::max<size_t>(numbers.size(), rows * (4 * step->width + step->inner_width + 1)));
  activations.resize(std::max<size_t>(activations.size(), RoundedRows::num_bytes(rows, widest)));
  float* const input = numbers.data();
  float* const product = input + rows * step->width;
  float* const inner = product + rows * 3 * step->width;
  const RoundedRows rounded(activations.data(), inner + rows * step->inner_width, rows);
#pragma omp parallel if (rows * step->width * step->width >= kWorthThreads)
  {
    static thread_local std::vector<float> scores;
    Worker(*step, rounded, input, product, inner, scores).run();
  }
}
