#include "model/layout/layout.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/status_macros.h"

namespace deeprack::model {
namespace {

// More ranks than any rack has. Keeps tp * dp * pp within an int32_t.
constexpr int64_t kMaxRanks = 1 << 20;

// The values as text: "2", "1 or 2", "1, 2 or 4".
std::string Alternatives(const std::vector<int64_t>& values) {
  if (values.empty()) return "no value";
  if (values.size() == 1) return absl::StrCat(values[0]);
  const std::vector<int64_t> head(values.begin(), values.end() - 1);
  return absl::StrCat(absl::StrJoin(head, ", "), " or ", values.back());
}

template <class Accepts>
std::vector<int64_t> ValuesUpTo(int64_t limit, Accepts accepts) {
  std::vector<int64_t> values;
  for (int64_t value = 1; value <= limit; ++value) {
    if (accepts(value)) values.push_back(value);
  }
  return values;
}

bool HasDenseLayers(const ModelConfig& config) { return !config.is_moe_layer(0); }
bool HasMoeLayers(const ModelConfig& config) { return config.is_moe_layer(config.num_hidden_layers - 1); }

// The part of the model that cannot be split over tp ranks, as text. Empty: every part can.
std::string TpObstacle(const ModelConfig& config, int64_t tp) {
  if (config.num_attention_heads % tp != 0)
    return absl::StrCat(config.num_attention_heads, " attention heads");
  if (!config.has_latent_attention() && config.num_key_value_heads % tp != 0 &&
      tp % config.num_key_value_heads != 0) {
    return absl::StrCat(config.num_key_value_heads, " key-value heads");
  }
  if (HasDenseLayers(config) && config.intermediate_size % tp != 0) {
    return absl::StrCat("intermediate_size ", config.intermediate_size);
  }
  const int64_t shared = config.n_shared_experts * config.moe_intermediate_size;
  if (HasMoeLayers(config) && shared % tp != 0) return absl::StrCat("the shared experts' width ", shared);
  if (CeilDiv(config.vocab_size, tp) * (tp - 1) >= config.vocab_size) {
    return absl::StrCat("a vocabulary of ", config.vocab_size);
  }
  return "";
}

// Why the experts cannot be split over a stage's ranks, as text. Empty: they can.
std::string EpObstacle(const ModelConfig& config, int64_t stage_size, int64_t ep) {
  if (stage_size % ep != 0) {
    return absl::StrCat("the ", stage_size, " ranks of a stage (tp x dp) cannot form ep=", ep,
                        " expert groups");
  }
  if (!HasMoeLayers(config)) return "";
  if (config.n_routed_experts % ep != 0) {
    return absl::StrCat(config.n_routed_experts, " routed experts cannot be split over ep=", ep);
  }
  if (config.moe_intermediate_size % (stage_size / ep) != 0) {
    return absl::StrCat("moe_intermediate_size ", config.moe_intermediate_size, " cannot be split over the ",
                        stage_size / ep, " ranks of an expert group (tp x dp / ep, ep=", ep, ")");
  }
  return "";
}

absl::Status ValidateSizes(const Layout& layout) {
  for (const auto& [name, value] : {std::pair{"tp", layout.tp}, std::pair{"dp", layout.dp},
                                    std::pair{"ep", layout.ep}, std::pair{"pp", layout.pp}}) {
    if (value < 1 || value > kMaxRanks) {
      return absl::InvalidArgumentError(
          absl::StrCat("layout ", ToString(layout), ": ", name, " must be from 1 to ", kMaxRanks));
    }
  }
  // Each factor is at most 2^20, so the product of three fits in 64 bits.
  const int64_t ranks = int64_t{layout.tp} * layout.dp * layout.pp;
  if (ranks > kMaxRanks) {
    return absl::InvalidArgumentError(absl::StrCat("layout ", ToString(layout), ": tp x dp x pp is ", ranks,
                                                   " ranks, more than ", kMaxRanks));
  }
  return absl::OkStatus();
}

}  // namespace

RankCoordinates CoordinatesOf(const Layout& layout, Rank rank) {
  DR_CHECK(rank >= 0 && rank < layout.world_size());
  RankCoordinates at;
  at.tp_rank = rank % layout.tp;
  at.dp_rank = rank / layout.tp % layout.dp;
  at.pp_rank = rank / layout.stage_size();
  at.stage_rank = rank % layout.stage_size();
  at.expert_group = at.stage_rank / layout.expert_tp();
  at.expert_tp_rank = at.stage_rank % layout.expert_tp();
  return at;
}

absl::Status ValidateLayout(const ModelConfig& config, const Layout& layout) {
  DR_RETURN_IF_ERROR(ValidateSizes(layout));

  if (const std::string obstacle = TpObstacle(config, layout.tp); !obstacle.empty()) {
    const auto values =
        ValuesUpTo(config.num_attention_heads, [&](int64_t tp) { return TpObstacle(config, tp).empty(); });
    return absl::InvalidArgumentError(
        absl::StrCat(obstacle, " cannot be split over tp=", layout.tp, ": tp may be ", Alternatives(values)));
  }

  const int64_t stage_size = layout.stage_size();
  if (const std::string obstacle = EpObstacle(config, stage_size, layout.ep); !obstacle.empty()) {
    const auto values =
        ValuesUpTo(stage_size, [&](int64_t ep) { return EpObstacle(config, stage_size, ep).empty(); });
    const std::string advice =
        values.empty() ? "choose another tp or dp" : absl::StrCat("ep may be ", Alternatives(values));
    return absl::InvalidArgumentError(absl::StrCat(obstacle, ": ", advice));
  }

  if (layout.pp > config.num_hidden_layers) {
    return absl::InvalidArgumentError(absl::StrCat(config.num_hidden_layers,
                                                   " layers cannot be split over pp=", layout.pp,
                                                   ": pp may be 1 to ", config.num_hidden_layers));
  }
  return absl::OkStatus();
}

std::pair<int64_t, int64_t> LayersOfStage(const ModelConfig& config, const Layout& layout, int32_t pp_rank) {
  DR_CHECK(pp_rank >= 0 && pp_rank < layout.pp);
  const int64_t base = config.num_hidden_layers / layout.pp;
  const int64_t longer_stages = config.num_hidden_layers % layout.pp;
  const int64_t begin = base * pp_rank + std::min<int64_t>(pp_rank, longer_stages);
  return {begin, begin + base + (pp_rank < longer_stages ? 1 : 0)};
}

std::string ToString(const Layout& layout) {
  return absl::StrCat("tp=", layout.tp, " dp=", layout.dp, " ep=", layout.ep, " pp=", layout.pp);
}

}  // namespace deeprack::model
