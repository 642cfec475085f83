// Upper bounds of the sizes in a config.json.
#pragma once

#include <cstdint>

#include "model/config/json_fields.h"

namespace deeprack::model {

// Every real model is within these bounds, and within them no size computed from a config overflows 63 bits.
// The largest such size is the bytes of all experts in fp32: kMaxExpertsOfAllLayers * 3 * kMaxExpertWidth *
// kMaxWidth * 4 < 2^58.
inline constexpr int64_t kMaxWidth = 1 << 18;  // hidden_size, q_lora_rank, kv_lora_rank
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
