// How ranks share a model. Pure arithmetic.
//
// world = tp * dp * pp ranks.
// rank = (pp_rank * dp + dp_rank) * tp + tp_rank. So the ranks of a pipeline stage have consecutive numbers,
// and so have the ranks of a dp group within the stage.
//
// Attention: each dp group holds whole sequences. Within a dp group, heads are split over its tp ranks.
//
// Experts: the tp * dp ranks of a stage form ep expert groups of expert_tp() = tp * dp / ep ranks each;
// expert_group = stage_rank / expert_tp. An expert group holds n_routed_experts / ep consecutive experts. The
// ranks of the group split each expert's intermediate dimension.
//
// Pipeline: each stage holds consecutive decoder layers, as evenly as possible. If the layers do not divide
// evenly, earlier stages hold one more.
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

struct RankCoordinates {
  int32_t tp_rank = 0;
  int32_t dp_rank = 0;
  int32_t pp_rank = 0;
  int32_t stage_rank = 0;      // dp_rank * tp + tp_rank: number among the stage's tp * dp ranks
  int32_t expert_group = 0;    // 0 .. ep-1
  int32_t expert_tp_rank = 0;  // 0 .. expert_tp()-1, number within the expert group
};

RankCoordinates CoordinatesOf(const Layout& layout, Rank rank);

// InvalidArgument when the layout does not fit the model. tp must divide the attention heads,
// intermediate_size and the shared experts' width; tp must divide the key-value heads or be a multiple of
// them; tp must leave every tp rank rows of the vocabulary. ep must divide tp * dp and n_routed_experts; tp *
// dp / ep must divide moe_intermediate_size. pp must not exceed num_hidden_layers. The message lists the
// possible values.
absl::Status ValidateLayout(const ModelConfig& config, const Layout& layout);

// The first layer of a pipeline stage, and one past its last.
std::pair<int64_t, int64_t> LayersOfStage(const ModelConfig& config, const Layout& layout, int32_t pp_rank);

std::string ToString(const Layout& layout);  // "tp=2 dp=1 ep=2 pp=1"

}  // namespace deeprack::model
