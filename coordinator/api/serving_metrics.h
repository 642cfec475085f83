// What /metrics shows, under vLLM's names. Counters and histograms are fed by the endpoints; the scheduler's
// totals are read when somebody asks. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "coordinator/dispatch/step_loop.h"

namespace prometheus {
class Registry;
class Counter;
class Histogram;
}  // namespace prometheus

namespace deeprack::coordinator {

// A sequence's way through serving; InfiniteFuture: it did not come so far.
struct SequenceTimes {
  absl::Time arrival;
  absl::Time first_scheduled = absl::InfiniteFuture();
  absl::Time first_token = absl::InfiniteFuture();
  absl::Time end;
};

class ServingMetrics {
 public:
  explicit ServingMetrics(const std::string& model_name);
  ~ServingMetrics();

  void ObserveFirstToken(absl::Duration since_arrival);
  void ObserveInterToken(absl::Duration gap);
  // A sequence's end. `reason` is stop, length, tool_calls, abort or error.
  void ObserveEnd(const std::string& reason, const SequenceTimes& times, int64_t prompt_tokens,
                  int64_t generated_tokens);

  // The end of an epoch that was serving, and the moment at which serving goes on.
  void ObserveLoss();
  void ObserveRecovery(absl::Duration since_loss);

  // The Prometheus text format.
  std::string Render(const std::optional<ServingStats>& stats) const;

 private:
  std::string model_name_;
  std::unique_ptr<prometheus::Registry> registry_;
  prometheus::Histogram* first_token_;
  prometheus::Histogram* inter_token_;
  prometheus::Histogram* per_output_token_;
  prometheus::Histogram* end_to_end_;
  prometheus::Histogram* queue_;
  prometheus::Histogram* prefill_;
  prometheus::Histogram* decode_;
  prometheus::Histogram* prompt_tokens_;
  prometheus::Histogram* generation_tokens_;
  std::map<std::string, prometheus::Counter*> ends_;
  prometheus::Counter* losses_;
  prometheus::Counter* recoveries_;
  prometheus::Counter* recovery_seconds_;
};

}  // namespace deeprack::coordinator
