#include "base/quantize/block_quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/block_formats.h"
#include "base/check.h"
#include "base/quantize/block_fit.h"

namespace deeprack {
namespace {

constexpr float kLargestHalf = 65504.0f;

float WithinHalf(float value) { return std::clamp(value, -kLargestHalf, kLargestHalf); }

// 1 / d, or 0 when d is 0 (a block of zeros).
float Inverse(float d) { return d == 0 ? 0.0f : 1.0f / d; }

int ToLevel(float x, int highest) {
  return std::clamp(static_cast<int>(std::clamp(x, 0.0f, 255.0f)), 0, highest);
}

// Of `values` [32], the value of largest magnitude; of several, the first.
float Extreme(const float* values) {
  float extreme = values[0];
  for (int i = 1; i < 32; ++i) {
    if (std::fabs(values[i]) > std::fabs(extreme)) extreme = values[i];
  }
  return extreme;
}

// PackNibbles: byte i holds the low nibbles of levels i and i + 16. PackFifthBits: qh holds the fifth bits.
void PackNibbles(const int (&levels)[32], uint8_t (&qs)[16]) {
  for (int i = 0; i < 16; ++i) qs[i] = static_cast<uint8_t>((levels[i] & 15) | (levels[i + 16] & 15) << 4);
}
void PackFifthBits(const int (&levels)[32], uint8_t (&qh)[4]) {
  std::memset(qh, 0, sizeof(qh));
  for (int i = 0; i < 32; ++i) qh[i / 8] |= static_cast<uint8_t>((levels[i] >> 4 & 1) << (i % 8));
}

// Q4_0, Q5_0: the value of largest magnitude gets the lowest level, -half. Returns the scale.
float SymmetricLevels(const float* values, int half, int (&levels)[32]) {
  const float d = WithinHalf(Extreme(values) / static_cast<float>(-half));
  const float inverse = Inverse(d);
  for (int i = 0; i < 32; ++i) {
    levels[i] = ToLevel(values[i] * inverse + (static_cast<float>(half) + 0.5f), 2 * half - 1);
  }
  return d;
}

// Q4_1, Q5_1: the lowest value gets level 0, the highest value the level `highest`.
struct Span {
  float d, low;
};
Span AffineLevels(const float* values, int highest, int (&levels)[32]) {
  const auto [lowest_value, highest_value] = std::minmax_element(values, values + 32);
  const float low = WithinHalf(*lowest_value);
  const float d = WithinHalf((*highest_value - low) / static_cast<float>(highest));
  const float inverse = Inverse(d);
  for (int i = 0; i < 32; ++i) levels[i] = ToLevel((values[i] - low) * inverse + 0.5f, highest);
  return {d, low};
}

// Packs the low 4 bits of 32 levels around zero, and their scale.
template <class Block>
void PackSymmetric(const float* values, int offset, int (&levels)[32], Block& block) {
  block.d = ToF16(SymmetricLevels(values, offset, levels));
  PackNibbles(levels, block.qs);
}

// Packs the low 4 bits of 32 levels above the lowest value, their scale, and that value.
template <class Block>
void PackAffine(const float* values, int highest, int (&levels)[32], Block& block) {
  const Span span = AffineLevels(values, highest, levels);
  block.d = ToF16(span.d);
  block.m = ToF16(span.low);
  PackNibbles(levels, block.qs);
}

void Pack(const float* values, BlockQ4_0& block) {
  int levels[32];
  PackSymmetric(values, 8, levels, block);
}

void Pack(const float* values, BlockQ4_1& block) {
  int levels[32];
  PackAffine(values, 15, levels, block);
}

void Pack(const float* values, BlockQ5_0& block) {
  int levels[32];
  PackSymmetric(values, 16, levels, block);
  PackFifthBits(levels, block.qh);
}

void Pack(const float* values, BlockQ5_1& block) {
  int levels[32];
  PackAffine(values, 31, levels, block);
  PackFifthBits(levels, block.qh);
}

void Pack(const float* values, BlockQ8_0& block) {
  const float d = WithinHalf(std::fabs(Extreme(values)) / 127.0f);
  const float inverse = Inverse(d);
  block.d = ToF16(d);
  for (int i = 0; i < 32; ++i) {
    block.qs[i] = static_cast<int8_t>(std::clamp(std::round(values[i] * inverse), -127.0f, 127.0f));
  }
}

// base/block_formats.cc reads the layouts that the functions below write.

// Levels of two bits: byte 32 * half + i holds elements i, 32 + i, 64 + i, 96 + i of a half of 128.
void PackTwoBits(const BlockFit& fit, int added, uint8_t (&qs)[64]) {
  std::memset(qs, 0, sizeof(qs));
  for (int i = 0; i < kSuperBlock; ++i) {
    qs[i / 128 * 32 + i % 32] |= static_cast<uint8_t>(((fit.levels[i] + added) & 3) << (i % 128 / 32 * 2));
  }
}

void Pack(const float* values, BlockQ2K& block) {
  const BlockFit fit =
      FitBlock(values, {.group_size = 16, .levels = {0, 3}, .scales = {0, 15}, .highest_min = 15});
  block.d = fit.d;
  block.dmin = fit.dmin;
  for (int group = 0; group < 16; ++group) {
    block.scales[group] = static_cast<uint8_t>(fit.scales[group] | fit.mins[group] << 4);
  }
  PackTwoBits(fit, 0, block.qs);
}

void Pack(const float* values, BlockQ3K& block) {
  const BlockFit fit = FitBlock(values, {.group_size = 16, .levels = {-4, 3}, .scales = {-32, 31}});
  block.d = fit.d;
  std::memset(block.scales, 0, sizeof(block.scales));
  for (int group = 0; group < 16; ++group) {
    const int scale = fit.scales[group] + 32;
    block.scales[group % 8] |= static_cast<uint8_t>((scale & 15) << (group / 8 * 4));
    block.scales[8 + group % 4] |= static_cast<uint8_t>((scale >> 4) << (group / 4 * 2));
  }
  PackTwoBits(fit, 4, block.qs);
  std::memset(block.hmask, 0, sizeof(block.hmask));
  for (int i = 0; i < kSuperBlock; ++i) {
    block.hmask[i % 32] |= static_cast<uint8_t>((fit.levels[i] >= 0 ? 1 : 0) << (i / 32));
  }
}

// Q4_K and Q5_K: 8 scales and 8 minima of six bits (GroupScaleAndMin).
void PackScalesAndMins(const BlockFit& fit, uint8_t (&scales)[12]) {
  for (int group = 0; group < 4; ++group) {
    scales[group] = static_cast<uint8_t>(fit.scales[group] | fit.scales[group + 4] >> 4 << 6);
    scales[group + 4] = static_cast<uint8_t>(fit.mins[group] | fit.mins[group + 4] >> 4 << 6);
    scales[group + 8] = static_cast<uint8_t>((fit.scales[group + 4] & 15) | (fit.mins[group + 4] & 15) << 4);
  }
}

// Byte 32 * k + i holds the nibbles of elements i and 32 + i of the k-th 64 elements.
void PackNibbles(const BlockFit& fit, uint8_t (&qs)[128]) {
  std::memset(qs, 0, sizeof(qs));
  for (int i = 0; i < kSuperBlock; ++i) {
    qs[i / 64 * 32 + i % 32] |= static_cast<uint8_t>((fit.levels[i] & 15) << (i % 64 / 32 * 4));
  }
}

void Pack(const float* values, BlockQ4K& block) {
  const BlockFit fit =
      FitBlock(values, {.group_size = 32, .levels = {0, 15}, .scales = {0, 63}, .highest_min = 63});
  block.d = fit.d;
  block.dmin = fit.dmin;
  PackScalesAndMins(fit, block.scales);
  PackNibbles(fit, block.qs);
}

void Pack(const float* values, BlockQ5K& block) {
  const BlockFit fit =
      FitBlock(values, {.group_size = 32, .levels = {0, 31}, .scales = {0, 63}, .highest_min = 63});
  block.d = fit.d;
  block.dmin = fit.dmin;
  PackScalesAndMins(fit, block.scales);
  PackNibbles(fit, block.qs);
  std::memset(block.qh, 0, sizeof(block.qh));
  for (int i = 0; i < kSuperBlock; ++i) {
    block.qh[i % 32] |= static_cast<uint8_t>((fit.levels[i] >> 4) << (i / 32));
  }
}

void Pack(const float* values, BlockQ6K& block) {
  const BlockFit fit = FitBlock(values, {.group_size = 16, .levels = {-32, 31}, .scales = {-128, 127}});
  block.d = fit.d;
  for (int group = 0; group < 16; ++group) block.scales[group] = static_cast<int8_t>(fit.scales[group]);
  std::memset(block.ql, 0, sizeof(block.ql));
  std::memset(block.qh, 0, sizeof(block.qh));
  for (int i = 0; i < kSuperBlock; ++i) {
    const int level = fit.levels[i] + 32;
    const int half = i / 128;
    const int quarter = i % 128 / 32;
    block.ql[half * 64 + quarter % 2 * 32 + i % 32] |=
        static_cast<uint8_t>((level & 15) << (quarter / 2 * 4));
    block.qh[half * 32 + i % 32] |= static_cast<uint8_t>((level >> 4) << (quarter * 2));
  }
}

template <class Block>
void PackAll(DType type, const float* values, int64_t elements, void* blocks) {
  auto* to = static_cast<std::byte*>(blocks);
  for (int64_t i = 0; i < elements; i += BlockElements(type)) {
    Block block;
    Pack(values + i, block);
    std::memcpy(to, &block, sizeof(Block));
    to += sizeof(Block);
  }
}

}  // namespace

bool CanQuantize(DType type) {
  return IsBlockFormat(type) && type != DType::kInt4G128 && type != DType::kInt8G128;
}

void Quantize(DType type, const float* values, int64_t elements, void* blocks) {
  DR_CHECK(CanQuantize(type) && elements % BlockElements(type) == 0);
  DispatchBlock(type, [&]<class Block>(Block*) {
    if constexpr (requires(Block block) { Pack(values, block); }) {
      PackAll<Block>(type, values, elements, blocks);
    }
  });
}

}  // namespace deeprack
