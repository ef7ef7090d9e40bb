// From the scores of all tokens to the log-probabilities of each row's best ones, reading every score once.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "simd.h"

namespace {

constexpr int64_t kBlock = 512;     // scores that are looked through again if their largest is among the best
constexpr int64_t kSegment = 64;    // blocks that a thread takes at once
constexpr float kNothing = -std::numeric_limits<float>::infinity();

struct Sum {
  float largest = kNothing, of_exponentials = 0.0f;  // of score - largest

  void add(const Sum& other) {
    if (other.largest == kNothing) return;
    const float both = std::max(largest, other.largest);
    of_exponentials = of_exponentials * std::exp(largest - both) + other.of_exponentials * std::exp(other.largest - both);
    largest = both;
  }
};

Sum sum_of(const float* scores, int64_t length, float largest) {
  const __m512 most = _mm512_set1_ps(largest);
  __m512 sum = _mm512_setzero_ps();
  for (int64_t i = 0; i < length; i += 16) {
    const __mmask16 present = lanes(length - i);
    sum = _mm512_mask_add_ps(sum, present, sum,
                             exponential(_mm512_sub_ps(_mm512_maskz_loadu_ps(present, scores + i), most)));
  }
  return {largest, _mm512_reduce_add_ps(sum)};
}

// The best so far, best first; of equal ones, the first.
class Best {
 public:
  explicit Best(int64_t number) : scored_(number, {kNothing, 0}) {}

  void offer(float score, int64_t id) {
    if (!(score > scored_.back().first)) return;
    auto place = scored_.end() - 1;
    for (; place != scored_.begin() && score > (place - 1)->first; --place) *place = *(place - 1);
    *place = {score, id};
  }

  const std::vector<std::pair<float, int64_t>>& scored() const { return scored_; }

 private:
  std::vector<std::pair<float, int64_t>> scored_;
};

// What lies in blocks whose largest score is among the `number` largest of all blocks'.
Best best_of(const float* scores, int64_t length, const float* largest, int64_t num_blocks, int64_t number) {
  Best blocks(std::min(number, num_blocks)), best(number);
  for (int64_t block = 0; block < num_blocks; ++block) blocks.offer(largest[block], block);
  std::vector<int64_t> chosen;
  for (const auto& [score, block] : blocks.scored())
    if (score > kNothing) chosen.push_back(block);
  std::sort(chosen.begin(), chosen.end());
  for (const int64_t block : chosen)
    for (int64_t id = block * kBlock; id < std::min(length, (block + 1) * kBlock); ++id) best.offer(scores[id], id);
  return best;
}

}  // namespace

// scores [rows, columns] -> log-probabilities and columns of the best, [rows, number] each, best first. Some scores are
// excluded: they count, but become -inf then. What there is not is -inf; a row with a NaN is NaN.
extern "C" void nllb_best(float* scores, int64_t num_rows, int64_t num_columns, const int64_t* excluded_rows,
                          const int64_t* excluded_columns, int64_t num_excluded, int64_t number, float* log_probs,
                          int64_t* columns) {
  const int64_t num_blocks = (num_columns + kBlock - 1) / kBlock, num_segments = (num_blocks + kSegment - 1) / kSegment;
  static thread_local std::vector<float> of_blocks;
  static thread_local std::vector<Sum> of_segments;
  of_blocks.resize(std::max<size_t>(of_blocks.size(), num_rows * num_blocks));
  of_segments.resize(std::max<size_t>(of_segments.size(), num_rows * num_segments));
  float* const largest = of_blocks.data();
  Sum* const sums = of_segments.data();
  const auto length_of = [=](int64_t block) { return std::min(kBlock, num_columns - block * kBlock); };
#pragma omp parallel if (num_rows * num_segments > 1)
  {
#pragma omp for collapse(2) schedule(dynamic)
    for (int64_t row = 0; row < num_rows; ++row) {
      for (int64_t segment = 0; segment < num_segments; ++segment) {
        Sum sum;
        for (int64_t block = segment * kSegment; block < std::min(num_blocks, (segment + 1) * kSegment); ++block) {
          const float* const here = scores + row * num_columns + block * kBlock;
          const float most = largest_of(here, length_of(block));
          if (most != kNothing) sum.add(sum_of(here, length_of(block), most));
          largest[row * num_blocks + block] = most;
        }
        sums[row * num_segments + segment] = sum;
      }
    }
#pragma omp for schedule(dynamic)
    for (int64_t row = 0; row < num_rows; ++row) {
      float* const of_row = scores + row * num_columns;
      for (int64_t i = 0; i < num_excluded; ++i) {
        if (excluded_rows[i] != row) continue;
        const int64_t block = excluded_columns[i] / kBlock;
        of_row[excluded_columns[i]] = kNothing;
        largest[row * num_blocks + block] = largest_of(of_row + block * kBlock, length_of(block));
      }
      Sum sum;
      for (int64_t segment = 0; segment < num_segments; ++segment) sum.add(sums[row * num_segments + segment]);
      const float normaliser = sum.largest + std::log(sum.of_exponentials);
      const Best best = best_of(of_row, num_columns, largest + row * num_blocks, num_blocks, number);
      for (int64_t i = 0; i < number; ++i) {
        log_probs[row * number + i] = best.scored()[i].first - normaliser;
        columns[row * number + i] = best.scored()[i].second;
      }
    }
  }
}
