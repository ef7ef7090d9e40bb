// The encoder's layers for the tokens of many sources, none padded: a row is a token, and attends to those of its source.

#include "attention.h"
#include "layers.h"

extern "C" {

struct EncoderLayer {
  Norm self_norm;
  Int8Layer qkv, self_out;
  Norm ffn_norm;
  Int8Layer fc1, fc2;
};

struct EncoderAdditions {
  LowRank qkv, self_out, fc1, fc2;
};

struct Sources {
  Tokens tokens;
  int64_t num_layers, num_heads;
  const EncoderLayer* layers;
  Norm norm;
};
}

namespace {

class Encoder : Layers<EncoderAdditions> {
 public:
  explicit Encoder(const Sources& sources) : Layers(sources.tokens.rows), sources_(sources) {}

  void run() const {
    pass(sources_.layers, sources_.num_layers, sources_.norm, [&](int64_t index, const EncoderLayer& layer) {
      self_attention(index, layer);
    });
  }

 private:
  void self_attention(int64_t index, const EncoderLayer& layer) const {
    multiply(index, &EncoderAdditions::qkv, layer.qkv, input_, product_);
    const Tokens& tokens = sources_.tokens;
    const int64_t head_dim = rows_.width / sources_.num_heads;
#pragma omp for collapse(2) schedule(dynamic)
    for (int64_t source = 0; source < tokens.num_sources; ++source) {
      for (int64_t head = 0; head < sources_.num_heads; ++head) {
        const int64_t first = tokens.first(source);
        const float* qkv = product_ + first * 3 * rows_.width + head * head_dim;
        attend_to_each_other(qkv, rows_.width, tokens.ends[source] - first, head_dim,
                             input_ + first * rows_.width + head * head_dim);
      }
    }
    finish(index, &EncoderAdditions::self_out, layer.self_out, input_,
           [&](int64_t row) { start(row, layer.ffn_norm, layer.fc1); });
  }

  const Sources& sources_;
};

}  // namespace

extern "C" void nllb_encode(const Sources* sources) {
  const Encoder encoder(*sources);
#pragma omp parallel if (sources->tokens.rows.are_worth_threads())
  encoder.run();
}
