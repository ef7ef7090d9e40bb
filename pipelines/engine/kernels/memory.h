// Keys and values that rows attend to.
#pragma once

#include <cstdint>

#include "attention.h"

// `[layers, 2 (keys, values), sequences, heads, capacity, head_dim]`
struct Memory {
  char* start;
  int64_t num_sequences, num_heads, capacity, head_dim;
  Format format;

  int64_t position_bytes() const { return head_dim * num_bytes(format); }

  // Of a head, from its first position on.
  char* keys(int64_t layer, int64_t sequence, int64_t head) const { return place(layer * 2, sequence, head); }
  char* values(int64_t layer, int64_t sequence, int64_t head) const { return place(layer * 2 + 1, sequence, head); }

 private:
  char* place(int64_t block, int64_t sequence, int64_t head) const {
    return start + ((block * num_sequences + sequence) * num_heads + head) * capacity * position_bytes();
  }
};
