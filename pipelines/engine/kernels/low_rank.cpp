#include "low_rank.h"

#include "simd.h"

namespace {

template <int Rows>
void add(const LowRank& low_rank, const int64_t* rows, const float* x, int64_t num_inputs, float* y,
         int64_t num_outputs) {
  const float* inputs[Rows];
  float* outputs[Rows];
  for (int i = 0; i < Rows; ++i) {
    inputs[i] = x + rows[i] * num_inputs;
    outputs[i] = y + rows[i] * num_outputs;
  }
  float inner[kMostRanks][Rows];
  const float* down = low_rank.down;
  for (int64_t rank = 0; rank < low_rank.num_ranks; ++rank, down += num_inputs) {
    Floats sums[Rows];
    for (Floats& sum : sums) sum = all(0.0f);
    for (int64_t at = 0; at < num_inputs; at += 16) {
      const Floats weights = load(down + at);
      for (int i = 0; i < Rows; ++i) sums[i] = multiply_add(load(inputs[i] + at), weights, sums[i]);
    }
    for (int i = 0; i < Rows; ++i) inner[rank][i] = sum(sums[i]);
  }
  for (const Up* up = low_rank.ups; up < low_rank.ups + low_rank.num_ups; ++up) {
    for (int64_t at = 0; at < up->num_outputs; at += 16) {
      const int64_t output = up->first_output + at;
      Floats sums[Rows];
      for (int i = 0; i < Rows; ++i) sums[i] = load(outputs[i] + output);
      if (up->factor)
        for (Floats& sum : sums) sum = multiply_add(sum, load(up->factor + at), load(up->shift + at));
      for (int64_t rank = 0; rank < up->num_ranks; ++rank) {
        const Floats weights = load(up->weight + rank * up->num_outputs + at);
        for (int i = 0; i < Rows; ++i)
          sums[i] = multiply_add(all(inner[up->first_rank + rank][i]), weights, sums[i]);
      }
      for (int i = 0; i < Rows; ++i) store(outputs[i] + output, sums[i]);
    }
  }
}

}  // namespace

void add_low_rank(const LowRank& low_rank, const int64_t* rows, int64_t num_rows, const float* x, int64_t num_inputs,
                  float* y, int64_t num_outputs) {
  if (low_rank.num_ranks == 0) return;
  static_assert(kMostAlike == 4);
  switch (num_rows) {
    case 1: return add<1>(low_rank, rows, x, num_inputs, y, num_outputs);
    case 2: return add<2>(low_rank, rows, x, num_inputs, y, num_outputs);
    case 3: return add<3>(low_rank, rows, x, num_inputs, y, num_outputs);
    case 4: return add<4>(low_rank, rows, x, num_inputs, y, num_outputs);
  }
}
