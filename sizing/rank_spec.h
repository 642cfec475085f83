// What a rank is: everything that decides which weights it holds and how much memory it takes, but for the
// device's kernels.
#pragma once

#include <cstdint>
#include <utility>

#include "base/dtype.h"
#include "base/ids.h"
#include "model/config/model_config.h"
#include "model/layout/expert_exchange.h"
#include "model/layout/layout.h"
#include "model/step/prefill_attention.h"
#include "model/step/step_limits.h"

namespace deeprack::sizing {

// `layout` is valid for `config` (model::ValidateLayout), and `rank` is one of its ranks.
struct RankSpec {
  model::ModelConfig config;
  model::Layout layout;
  Rank rank = 0;
  DType compute = DType::kBF16;     // of activations: kBF16 or kF32
  DType cache_type = DType::kBF16;  // of the KV cache: kBF16, kF32 or kF8E4M3
  model::ExpertExchange expert_exchange = model::ExpertExchange::kReplicated;
  model::PrefillAttention prefill_attention = model::PrefillAttention::kExpanded;
  model::StepLimits limits;
  // The most tokens that the MTP layer drafts for a sequence in one step; 0: the layer is not loaded. Above 0
  // only if WeightForms::why_no_mtp is empty.
  int32_t speculative_tokens = 0;

  model::RankCoordinates coordinates() const { return model::CoordinatesOf(layout, rank); }
  // First layer of the rank's pipeline stage, and one past its last.
  std::pair<int64_t, int64_t> layers() const {
    return model::LayersOfStage(config, layout, coordinates().pp_rank);
  }
  bool is_last_stage() const { return coordinates().pp_rank == layout.pp - 1; }
  // True when the rank holds the MTP layer (the first one, layer num_hidden_layers).
  bool has_mtp() const { return speculative_tokens > 0 && is_last_stage(); }
  // Layers of the KV cache: the stage's, then the MTP layer.
  int64_t cache_layers() const { return layers().second - layers().first + (has_mtp() ? 1 : 0); }
};

}  // namespace deeprack::sizing
