// What the decoder attends to of sources: keys and values that all its layers make of their tokens, in one call.

#include "attention.h"
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
  Rows rows;  // tokens, as the encoder leaves them
  int64_t num_layers, num_heads;
  const CrossLayer* layers;
  int64_t num_sources;
  const int64_t* ends;     // [sources], the row behind the last of each
  int64_t first_sequence;  // of the memory, where the first source goes
  Memory memory;
  Format format;
};
}

namespace {

class CrossMemory : Layers<CrossAdditions> {
 public:
  explicit CrossMemory(const EncodedSources& sources)
      : Layers(sources.rows), sources_(sources), head_dim_(sources.rows.width / sources.num_heads),
        position_bytes_(head_dim_ * num_bytes(sources.format)) {}

  void write() const {
    round(rows_.hidden, sources_.layers->cross_kv);
    for (int64_t index = 0; index < sources_.num_layers; ++index) {
      multiply(index, &CrossAdditions::cross_kv, sources_.layers[index].cross_kv, rows_.hidden, product_);
      // Nobody waits at its end: the next product begins with that.
#pragma omp for collapse(2) schedule(dynamic) nowait
      for (int64_t source = 0; source < sources_.num_sources; ++source)
        for (int64_t head = 0; head < sources_.num_heads; ++head) keep_head(index, source, head);
    }
  }

 private:
  void keep_head(int64_t index, int64_t source, int64_t head) const {
    const int64_t sequence = sources_.first_sequence + source;
    char* keys = sources_.memory.keys(index, sequence, head, sources_.num_heads, position_bytes_);
    char* values = sources_.memory.values(index, sequence, head, sources_.num_heads, position_bytes_);
    for (int64_t row = source == 0 ? 0 : sources_.ends[source - 1]; row < sources_.ends[source]; ++row) {
      const float* const key = product_ + row * 2 * rows_.width + head * head_dim_;
      keep(sources_.format, key, head_dim_, keys);
      keep(sources_.format, key + rows_.width, head_dim_, values);
      keys += position_bytes_;
      values += position_bytes_;
    }
  }

  const EncodedSources& sources_;
  int64_t head_dim_, position_bytes_;
};

}  // namespace

extern "C" void nllb_cross_memory(const EncodedSources* sources) {
  const CrossMemory memory(*sources);
#pragma omp parallel if (sources->rows.are_worth_threads())
  memory.write();
}
