// Keys and values that rows attend to.
#pragma once

#include <cstdint>

// `[layers, 2 (keys, values), sequences, heads, capacity, head_dim]`
struct Memory {
  char* start;
  int64_t num_sequences, capacity;

  // Of the first position of a head.
  char* keys(int64_t layer, int64_t sequence, int64_t head, int64_t num_heads, int64_t position_bytes) const {
    return place(layer * 2, sequence, head, num_heads, position_bytes);
  }
  char* values(int64_t layer, int64_t sequence, int64_t head, int64_t num_heads, int64_t position_bytes) const {
    return place(layer * 2 + 1, sequence, head, num_heads, position_bytes);
  }

 private:
  char* place(int64_t block, int64_t sequence, int64_t head, int64_t num_heads, int64_t position_bytes) const {
    return start + ((block * num_sequences + sequence) * num_heads + head) * capacity * position_bytes;
  }
};
