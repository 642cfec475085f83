// How ranks share a model. Pure arithmetic.
//
// world = tp * dp * pp ranks. rank = (pp_rank * dp + dp_rank) * tp + tp_rank: the ranks of one pipeline stage
// are neighbours, and within a stage those of one dp group.
//
// Attention: each of the dp groups holds whole sequences; inside it heads are split over tp ranks.
//
// Experts: the stage's tp * dp ranks form ep expert groups of expert_tp() = tp * dp / ep ranks each;
// expert_group = stage_rank / expert_tp. A group owns n_routed_experts / ep consecutive experts, and its ranks
// split each expert's intermediate dimension.
//
// Pipeline: stage p owns consecutive decoder layers, as even as can be, the earlier stages one more.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "base/ids.h"
#include "model/config/model_config.h"

namespace deeprack::model {

struct Layout {
  int32_t tp = 1;
  int32_t dp = 1;
  int32_t ep = 1;
  int32_t pp = 1;

  int32_t stage_size() const { return tp * dp; }
  int32_t world_size() const { return tp * dp * pp; }
  int32_t expert_tp() const { return stage_size() / ep; }
  bool operator==(const Layout&) const = default;
};

// A rank's place in the layout.
struct RankCoordinates {
  int32_t tp_rank = 0;
  int32_t dp_rank = 0;
  int32_t pp_rank = 0;
  int32_t stage_rank = 0;      // dp_rank * tp + tp_rank: its rank among the stage's tp * dp
  int32_t expert_group = 0;    // 0 .. ep-1
  int32_t expert_tp_rank = 0;  // its place inside the expert group
};

RankCoordinates CoordinatesOf(const Layout& layout, Rank rank);

// InvalidArgument when the layout is not one for this model: heads % tp, vocabulary, n_routed_experts % ep,
// intermediate sizes, ep not dividing tp * dp, pp > layers. The message lists the values that would do.
absl::Status ValidateLayout(const ModelConfig& config, const Layout& layout);

// First layer and one past the last of a pipeline stage.
std::pair<int64_t, int64_t> LayersOfStage(const ModelConfig& config, const Layout& layout, int32_t pp_rank);

std::string ToString(const Layout& layout);  // "tp=2 dp=1 ep=2 pp=1"

}  // namespace deeprack::model
