// Watches the steps of one epoch for ranks that make the others wait, and names them in metrics, /ready and
// the log.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/api/api_context.h"
#include "coordinator/dispatch/late_ranks.h"
#include "model/layout/layout.h"

namespace deeprack::coordinator {

class SlowRankWatch {
 public:
  // Slow ranks are named once in this much time inside steps.
  static constexpr absl::Duration kWindow = absl::Seconds(10);

  // hosts[r] is rank r's. `context` outlives this. `on_window` gets the slow ranks of each window, on the
  // thread that calls Add.
  SlowRankWatch(const model::Layout& layout, std::vector<std::string> hosts, ApiContext* context,
                std::function<void(const std::vector<SlowRank>&)> on_window);

  // Takes one step, as LateRanks::Add does. One caller at a time.
  void Add(const model::StepHeader& step, const std::vector<model::StepTimings>& timings);

 private:
  void Name();

  LateRanks late_;
  const std::vector<std::string> hosts_;
  ApiContext* const context_;
  const std::function<void(const std::vector<SlowRank>&)> on_window_;
  std::set<Rank> named_;
};

}  // namespace deeprack::coordinator
