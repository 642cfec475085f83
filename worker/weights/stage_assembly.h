// Points the decoder's view of the weights at the memory that holds them.
#pragma once

#include <cstddef>

#include "sizing/rank_spec.h"
#include "sizing/weight_manifest.h"
#include "worker/weights/stage_weights.h"

namespace deeprack::worker {

// `memory`: manifest.bytes, each entry at its offset. Outlives the result.
StageWeights AssembleStage(const sizing::RankSpec& spec, const sizing::WeightManifest& manifest,
                           const std::byte* memory);

}  // namespace deeprack::worker
