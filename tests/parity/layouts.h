// The layouts and exchanges that parity is shown for.
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
};

// Every combination of tp 1, 2, 4; dp 1, 2; ep 1, 2, 4 (where it divides tp x dp); pp 1, 2; both exchanges.
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

// Those that differ for the golden: without experts, how they are spread and exchanged is no difference.
inline std::vector<Placement> PlacementsOf(const Golden& golden) {
  std::vector<Placement> placements = AllPlacements();
  if (golden.has_experts) return placements;
  std::erase_if(placements, [](const Placement& placement) {
    return placement.layout.ep != 1 || placement.exchange != model::ExpertExchange::kReplicated;
  });
  return placements;
}

inline std::string Describe(const Placement& placement) {
  return model::ToString(placement.layout) +
         (placement.exchange == model::ExpertExchange::kReplicated ? " replicated" : " all_to_all");
}

}  // namespace deeprack::parity
