// From the scores of all tokens to the log-probabilities of each row's best ones, reading every score once: from memory,
// or from the output layer's product, piece by piece, so that they are never all in memory.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <utility>
#include <vector>

#include "int8.h"
#include "numbers.h"

namespace {

constexpr int64_t kBlock = 512;    // scores that are looked through again if their largest is among the best
constexpr int64_t kSegment = 64;   // blocks that a thread takes at once
constexpr int64_t kPiece = 128;    // the same as a block, of a product
constexpr float kNothing = -std::numeric_limits<float>::infinity();

// Of a block of scores.
struct Sum {
  float largest = kNothing, of_exponentials = 0.0f;  // of score - largest
};

Sum sum_of(const float* scores, int64_t length) {
  const float largest = largest_of(scores, length);
  if (largest == kNothing) return {};
  const Floats most = all(largest);
  Floats total = all(0.0f);
  for (int64_t i = 0; i < length; i += 16)
    total = choose(length - i, total + exponential(load(scores + i, length - i) - most), total);
  return {largest, sum(total)};
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

// Scores that count, and become -inf then.
struct Excluded {
  const int64_t *rows, *columns;
  int64_t number;

  // Calls `work(column)` for those of a row.
  template <typename Do>
  void of_row(int64_t row, Do work) const {
    for (int64_t i = 0; i < number; ++i)
      if (rows[i] == row) work(columns[i]);
  }
};

// What a row's log-probabilities are less than its scores, and the largest score of each block.
struct Normaliser {
  Normaliser(const Sum* sums, int64_t num_blocks) : largest(num_blocks) {
    float most = kNothing, sum = 0.0f;
    for (int64_t block = 0; block < num_blocks; ++block) {
      largest[block] = sums[block].largest;
      most = std::max(most, largest[block]);
    }
    for (int64_t block = 0; block < num_blocks; ++block)
      sum += sums[block].of_exponentials * std::exp(largest[block] - most);
    value = most + std::log(sum);
  }

  std::vector<float> largest;
  float value;
};

// The log-probabilities and columns of the best, [rows, number] each, best first. What there is not is -inf; a row with a
// NaN is NaN.
struct Chosen {
  int64_t number;
  float* log_probs;
  int64_t* columns;

  // Chooses for a row what lies in blocks whose largest score is among the `number` largest of all blocks'.
  // `scores_of(block)` returns the block's scores, -inf where they are excluded.
  template <typename ScoresOf>
  void choose(int64_t row, int64_t num_scores, int64_t block_length, Normaliser normaliser, const Excluded& excluded,
              ScoresOf scores_of) const {
    std::vector<float>& largest = normaliser.largest;
    const int64_t num_blocks = largest.size();
    const auto length_of = [&](int64_t block) { return std::min(block_length, num_scores - block * block_length); };
    excluded.of_row(row, [&](int64_t column) {
      const int64_t block = column / block_length;
      largest[block] = largest_of(scores_of(block), length_of(block));
    });
    Best blocks(std::min(number, num_blocks)), best(number);
    for (int64_t block = 0; block < num_blocks; ++block) blocks.offer(largest[block], block);
    std::vector<int64_t> chosen;
    for (const auto& [score, block] : blocks.scored())
      if (score > kNothing) chosen.push_back(block);
    std::sort(chosen.begin(), chosen.end());
    for (const int64_t block : chosen) {
      const float* const scores = scores_of(block);
      for (int64_t i = 0; i < length_of(block); ++i) best.offer(scores[i], block * block_length + i);
    }
    for (int64_t i = 0; i < number; ++i) {
      log_probs[row * number + i] = best.scored()[i].first - normaliser.value;
      columns[row * number + i] = best.scored()[i].second;
    }
  }
};

}  // namespace

extern "C" {

// Of scores [rows, columns], which are overwritten where they are excluded.
void nllb_best(float* scores, int64_t num_rows, int64_t num_columns, const Excluded* excluded, const Chosen* chosen) {
  const int64_t num_blocks = (num_columns + kBlock - 1) / kBlock, num_segments = (num_blocks + kSegment - 1) / kSegment;
  std::vector<Sum> sums(num_rows * num_blocks);
#pragma omp parallel if (num_rows * num_segments > 1)
  {
#pragma omp for collapse(2) schedule(dynamic)
    for (int64_t row = 0; row < num_rows; ++row)
      for (int64_t segment = 0; segment < num_segments; ++segment)
        for (int64_t block = segment * kSegment; block < std::min(num_blocks, (segment + 1) * kSegment); ++block)
          sums[row * num_blocks + block] = sum_of(scores + row * num_columns + block * kBlock,
                                                  std::min(kBlock, num_columns - block * kBlock));
#pragma omp for schedule(dynamic)
    for (int64_t row = 0; row < num_rows; ++row) {
      const Sum* const of_row = sums.data() + row * num_blocks;
      excluded->of_row(row, [&](int64_t column) { scores[row * num_columns + column] = kNothing; });
      chosen->choose(row, num_columns, kBlock, Normaliser(of_row, num_blocks), *excluded,
                     [&](int64_t block) { return scores + row * num_columns + block * kBlock; });
    }
  }
}

// Of the scores that a layer gives to x [rows, inputs]; those that are forbidden do not even count. Pieces that are looked
// through again are multiplied again.
void nllb_best_of_product(const Int8Layer* layer, const float* x, int64_t num_rows, const Excluded* forbidden,
                          const Excluded* excluded, const Chosen* chosen) {
  const int64_t num_pieces = (layer->num_outputs + kPiece - 1) / kPiece;
  const auto end_of = [=](int64_t piece) { return std::min(layer->num_outputs, (piece + 1) * kPiece); };
  std::vector<Sum> sums(num_rows * num_pieces);
  std::vector<uint8_t> activations(RoundedRows::num_bytes(num_rows, layer->num_inputs));
  std::vector<float> scales(num_rows);
  const RoundedRows rounded(activations.data(), scales.data(), num_rows);
#pragma omp parallel if (num_rows * layer->num_inputs * layer->num_outputs >= kWorthThreads)
  {
    std::vector<float> scores(num_rows * kPiece);
    std::vector<uint8_t> own_activations(RoundedRows::num_bytes(1, layer->num_inputs));
#pragma omp for
    for (int64_t row = 0; row < num_rows; ++row) rounded.set(row, x + row * layer->num_inputs, *layer);
#pragma omp for schedule(dynamic)
    for (int64_t piece = 0; piece < num_pieces; ++piece) {
      const int64_t length = end_of(piece) - piece * kPiece;
      rounded.multiply_some(*layer, piece * kPiece, end_of(piece), scores.data());
      for (int64_t row = 0; row < num_rows; ++row)
        sums[row * num_pieces + piece] = sum_of(scores.data() + row * length, length);
    }
#pragma omp for schedule(dynamic)
    for (int64_t row = 0; row < num_rows; ++row) {
      float scale;
      const RoundedRows alone(own_activations.data(), &scale, 1);
      alone.set(0, x + row * layer->num_inputs, *layer);
      const auto multiply_again = [&](int64_t piece, std::initializer_list<const Excluded*> without) {
        alone.multiply_some(*layer, piece * kPiece, end_of(piece), scores.data());
        for (const Excluded* const each : without)
          each->of_row(row, [&](int64_t column) {
            if (column / kPiece == piece) scores[column % kPiece] = kNothing;
          });
        return scores.data();
      };
      Sum* const of_row = sums.data() + row * num_pieces;
      forbidden->of_row(row, [&](int64_t column) {
        const int64_t piece = column / kPiece;
        of_row[piece] = sum_of(multiply_again(piece, {forbidden}), end_of(piece) - piece * kPiece);
      });
      chosen->choose(row, layer->num_outputs, kPiece, Normaliser(of_row, num_pieces), *excluded,
                     [&](int64_t piece) { return multiply_again(piece, {forbidden, excluded}); });
    }
  }
}
}
