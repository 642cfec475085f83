// The sizes that a config.json may give.
#pragma once

#include <cstdint>

#include "model/config/json_fields.h"

namespace deeprack::model {

// Bounds that every real model keeps and under which no size computed from a config overflows 63 bits: the
// largest is all experts' fp32 bytes, kMaxExpertsOfAllLayers * 3 * kMaxExpertWidth * kMaxWidth * 4 < 2^58.
inline constexpr int64_t kMaxWidth = 1 << 18;  // hidden and LoRA ranks
inline constexpr int64_t kMaxIntermediate = 1 << 20;
inline constexpr int64_t kMaxExpertWidth = 1 << 18;
inline constexpr int64_t kMaxHeads = 1 << 12;
inline constexpr int64_t kMaxHeadDim = 1 << 12;
inline constexpr int64_t kMaxLayers = 1 << 10;
inline constexpr int64_t kMaxExperts = 1 << 14;
inline constexpr int64_t kMaxExpertsOfAllLayers = 1 << 18;
inline constexpr int64_t kMaxVocab = 1 << 24;
inline constexpr int64_t kMaxPositions = 1 << 24;
inline constexpr int64_t kMaxMtpLayers = 16;
inline constexpr double kMaxNumber = 1e12;
inline constexpr NumberRange kPositive = {.min = 0, .max = kMaxNumber};

}  // namespace deeprack::model
