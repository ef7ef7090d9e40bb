// One step of the decoder for all live rows, each at its own position and with its own adapter: all layers in one call.

#include "layers.h"
#include "memory.h"

extern "C" {

struct DecoderLayer {
  Norm self_norm;
  Int8Layer qkv, self_out;
  Norm cross_norm;
  Int8Layer cross_q, cross_out;
  Norm ffn_norm;
  Int8Layer fc1, fc2;
};

struct DecoderAdditions {
  LowRank qkv, self_out, cross_q, cross_out, fc1, fc2;
};

struct Step {
  Rows rows;
  int64_t num_layers;
  const DecoderLayer* layers;
  Norm norm;
  const int64_t* positions;       // [rows]
  const int64_t* groups;          // [rows], whose source each row attends to
  const int64_t* source_lengths;  // [groups]
  Memory self_kv, cross_kv;
  int64_t aligning_layer;  // whose queries of sources are told
  float* queries;          // [rows, width], where to; null if they are not wanted
};
}

namespace {

constexpr int64_t kHeadsAtOnce = 8;  // that a thread takes

class Decoder : Layers<DecoderAdditions> {
 public:
  explicit Decoder(const Step& step) : Layers(step.rows), step_(step) {}

  void run() const {
    pass(step_.layers, step_.num_layers, step_.norm, [&](int64_t index, const DecoderLayer& layer) {
      self_attention(index, layer);
      cross_attention(index, layer);
    });
  }

 private:
  void self_attention(int64_t index, const DecoderLayer& layer) const {
    multiply(index, &DecoderAdditions::qkv, layer.qkv, input_, product_);
    for_each_head([&](int64_t row, int64_t head) {
      const Memory& memory = step_.self_kv;
      const float* qkv = product_ + row * 3 * rows_.width + head * memory.head_dim;
      const int64_t position = step_.positions[row], before = position * memory.position_bytes();
      char* keys = memory.keys(index, row, head);
      char* values = memory.values(index, row, head);
      keep(memory.format, qkv + rows_.width, memory.head_dim, keys + before);
      keep(memory.format, qkv + 2 * rows_.width, memory.head_dim, values + before);
      attend(memory.format, qkv, keys, values, position + 1, memory.head_dim, attended(row, head));
    });
    finish(index, &DecoderAdditions::self_out, layer.self_out, input_,
           [&](int64_t row) { start(row, layer.cross_norm, layer.cross_q); });
  }

  void cross_attention(int64_t index, const DecoderLayer& layer) const {
    multiply(index, &DecoderAdditions::cross_q, layer.cross_q, input_, product_);
    for_each_head([&](int64_t row, int64_t head) {
      const Memory& memory = step_.cross_kv;
      const int64_t group = step_.groups[row], at = row * rows_.width + head * memory.head_dim;
      if (step_.queries && index == step_.aligning_layer)
        std::copy_n(product_ + at, memory.head_dim, step_.queries + at);
      attend(memory.format, product_ + at, memory.keys(index, group, head), memory.values(index, group, head),
             step_.source_lengths[group], memory.head_dim, attended(row, head));
    });
    finish(index, &DecoderAdditions::cross_out, layer.cross_out, input_,
           [&](int64_t row) { start(row, layer.ffn_norm, layer.fc1); });
  }

  // The team waits for each other at the end.
  template <typename Do>
  void for_each_head(Do work) const {
#pragma omp for collapse(2) schedule(dynamic, kHeadsAtOnce)
    for (int64_t row = 0; row < rows_.num_rows; ++row)
      for (int64_t head = 0; head < step_.self_kv.num_heads; ++head) work(row, head);
  }

  float* attended(int64_t row, int64_t head) const { return input_ + row * rows_.width + head * step_.self_kv.head_dim; }

  const Step& step_;
};

}  // namespace

extern "C" void nllb_decoder_step(const Step* step) {
  const Decoder decoder(*step);
#pragma omp parallel if (step->rows.are_worth_threads())
  decoder.run();
}
