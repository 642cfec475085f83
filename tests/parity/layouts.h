// The layouts and exchanges that parity is shown for.
#pragma once

#include <string>
#include <vector>

#include "model/layout/layout.h"
#include "worker/engine/engine.h"

namespace deeprack::parity {

struct Placement {
  model::Layout layout;
  worker::ExpertExchange exchange = worker::ExpertExchange::kReplicated;
};

// Every combination of tp 1, 2, 4; dp 1, 2; ep 1, 2, 4 (where it divides tp x dp); pp 1, 2; both exchanges.
inline std::vector<Placement> AllPlacements() {
  std::vector<Placement> placements;
  for (int32_t pp : {1, 2}) {
    for (int32_t dp : {1, 2}) {
      for (int32_t tp : {1, 2, 4}) {
        for (int32_t ep : {1, 2, 4}) {
          if (tp * dp % ep != 0) continue;
          for (auto exchange : {worker::ExpertExchange::kReplicated, worker::ExpertExchange::kAllToAll}) {
            placements.push_back({{.tp = tp, .dp = dp, .ep = ep, .pp = pp}, exchange});
          }
        }
      }
    }
  }
  return placements;
}

inline std::string Describe(const Placement& placement) {
  return model::ToString(placement.layout) +
         (placement.exchange == worker::ExpertExchange::kReplicated ? " replicated" : " all_to_all");
}

}  // namespace deeprack::parity
