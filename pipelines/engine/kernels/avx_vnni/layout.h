// How what AVX-VNNI multiplies lies in memory.
#pragma once

#include <cstdint>

constexpr int64_t kInputsTogether = 4;  // an output's weights that lie side by side
constexpr int64_t kActivationBytes = 1;
constexpr int32_t kActivationShift = 0;  // subtracted from them
constexpr int64_t kMostRows = 6;        // of a part: as many sums as leave registers for the rest
constexpr int64_t kPartsTogether = 1;
