// What an adapter adds to a linear layer for some of the rows: see lora.py.
#pragma once

#include <cstdint>

// The second factor of one module within a fused layer.
struct Up {
  int64_t first_output, num_outputs, first_rank, num_ranks;
  const float* weight;           // [ranks, outputs]
  const float *factor, *shift;   // [outputs] each, DoRA's; null without it
};

// What an adapter adds to one linear layer: nothing if it has no ranks.
struct LowRank {
  int64_t num_ranks, num_ups;
  const float* down;  // [ranks, inputs]
  const Up* ups;
};

constexpr int64_t kMostRanks = 1024;  // of all modules that are fused in a layer
constexpr int64_t kMostAlike = 4;  // rows for which an adapter's matrices are read once

// y [rows, outputs] += what an adapter makes of x [rows, inputs], in some of the rows, at most `kMostAlike`.
void add_low_rank(const LowRank& low_rank, const int64_t* rows, int64_t num_rows, const float* x, int64_t num_inputs,
                  float* y, int64_t num_outputs);
