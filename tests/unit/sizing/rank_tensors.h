// A rank's weights from the few things that tests vary.
#pragma once

#include <vector>

#include "sizing/weight_manifest.h"

namespace deeprack::sizing {

inline WeightManifest ManifestFor(const model::ModelConfig& config, const model::Layout& layout, Rank rank,
                                  DType compute, const WeightForms& forms = {}) {
  return ManifestOf({.config = config, .layout = layout, .rank = rank, .compute = compute}, forms);
}

inline std::vector<PackedTensor> PackedTensorsOf(const model::ModelConfig& config,
                                                 const model::Layout& layout, Rank rank, DType compute,
                                                 const WeightForms& forms = {}) {
  return ManifestFor(config, layout, rank, compute, forms).tensors;
}

inline int64_t WeightBytes(const model::ModelConfig& config, const model::Layout& layout, Rank rank,
                           DType compute, const WeightForms& forms = {}) {
  return ManifestFor(config, layout, rank, compute, forms).bytes;
}

}  // namespace deeprack::sizing
