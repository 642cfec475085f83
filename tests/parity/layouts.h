// The layouts and expert exchanges in which parity is tested.
#pragma once

#include <string>
#include <vector>

#include "model/layout/layout.h"
#include "tests/parity/golden.h"
#include "worker/engine/engine.h"

namespace deeprack::parity {

struct Placement {
  model::Layout layout;
  model::ExpertExchange exchange = model::ExpertExchange::kReplicated;
  model::PrefillAttention prefill = model::PrefillAttention::kExpanded;
};

// Every combination of tp 1, 2, 4; dp 1, 2; ep 1, 2, 4 (a divisor of tp x dp); pp 1, 2; both exchanges.
inline std::vector<Placement> AllPlacements() {
  std::vector<Placement> placements;
  for (int32_t pp : {1, 2}) {
    for (int32_t dp : {1, 2}) {
      for (int32_t tp : {1, 2, 4}) {
        for (int32_t ep : {1, 2, 4}) {
          if (tp * dp % ep != 0) continue;
          for (auto exchange : {model::ExpertExchange::kReplicated, model::ExpertExchange::kAllToAll}) {
            placements.push_back({{.tp = tp, .dp = dp, .ep = ep, .pp = pp}, exchange});
          }
        }
      }
    }
  }
  return placements;
}

// The placements that differ for this golden. A model without experts has no ep and no exchange. With prompts
// absorbed: only the placements in which attention differs.
inline std::vector<Placement> PlacementsOf(const Golden& golden) {
  std::vector<Placement> placements = AllPlacements();
  std::vector<Placement> without_experts = placements;
  std::erase_if(without_experts, [](const Placement& placement) {
    return placement.layout.ep != 1 || placement.exchange != model::ExpertExchange::kReplicated;
  });
  if (!golden.has_experts) placements = without_experts;
  for (Placement& placement : without_experts) {
    placement.prefill = model::PrefillAttention::kAbsorbed;
    placements.push_back(placement);
  }
  return placements;
}

inline std::string Describe(const Placement& placement) {
  return model::ToString(placement.layout) +
         (placement.exchange == model::ExpertExchange::kReplicated ? " replicated" : " all_to_all") +
         (placement.prefill == model::PrefillAttention::kExpanded ? " expanded" : " absorbed");
}

}  // namespace deeprack::parity
