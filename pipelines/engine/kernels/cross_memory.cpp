// What the decoder attends to of sources: keys and values that all its layers make of their tokens, in one call.

#include "layers.h"
#include "memory.h"

extern "C" {

struct CrossLayer {
  Int8Layer cross_kv;
};

struct CrossAdditions {
  LowRank cross_kv;
};

struct EncodedSources {
  Tokens tokens;  // as the encoder leaves them
  int64_t num_layers;
  const CrossLayer* layers;
  int64_t first_sequence;  // of the memory, where the first source goes
  Memory memory;
};
}

namespace {

class CrossMemory : Layers<CrossAdditions> {
 public:
  explicit CrossMemory(const EncodedSources& sources) : Layers(sources.tokens.rows), sources_(sources) {}

  void write() const {
    round(rows_.hidden, sources_.layers->cross_kv);
    for (int64_t index = 0; index < sources_.num_layers; ++index) {
      multiply(index, &CrossAdditions::cross_kv, sources_.layers[index].cross_kv, rows_.hidden, product_);
      // Nobody waits at its end: the next product begins with that.
#pragma omp for collapse(2) schedule(dynamic) nowait
      for (int64_t source = 0; source < sources_.tokens.num_sources; ++source)
        for (int64_t head = 0; head < sources_.memory.num_heads; ++head) keep_head(index, source, head);
    }
  }

 private:
  void keep_head(int64_t index, int64_t source, int64_t head) const {
    const Memory& memory = sources_.memory;
    char* keys = memory.keys(index, sources_.first_sequence + source, head);
    char* values = memory.values(index, sources_.first_sequence + source, head);
    for (int64_t row = sources_.tokens.first(source); row < sources_.tokens.ends[source]; ++row) {
      const float* const key = product_ + row * 2 * rows_.width + head * memory.head_dim;
      keep(memory.format, key, memory.head_dim, keys);
      keep(memory.format, key + rows_.width, memory.head_dim, values);
      keys += memory.position_bytes();
      values += memory.position_bytes();
    }
  }

  const EncodedSources& sources_;
};

}  // namespace

extern "C" void nllb_cross_memory(const EncodedSources* sources) {
  const CrossMemory memory(*sources);
#pragma omp parallel if (sources->tokens.rows.are_worth_threads())
  memory.write();
}
