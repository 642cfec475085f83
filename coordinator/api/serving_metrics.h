// The metrics of /metrics, under vLLM's names where vLLM has the metric. The endpoints feed counters and
// histograms; the scheduler's totals are read for each Render. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/dispatch/step_loop.h"

namespace prometheus {
class Registry;
class Counter;
class Histogram;
template <typename T>
class Family;
struct MetricFamily;
}  // namespace prometheus

namespace deeprack::coordinator {

// The moments of one sequence. InfiniteFuture: the sequence ended before that moment.
struct SequenceTimes {
  absl::Time arrival;
  absl::Time first_scheduled = absl::InfiniteFuture();
  absl::Time first_token = absl::InfiniteFuture();
  absl::Time end;
};

// One sequence at its end.
struct SequenceEnd {
  std::string reason;  // stop, length, tool_calls, abort or error
  SequenceTimes times;
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt: found in the prefix cache
  int64_t generated_tokens = 0;
  int64_t max_tokens = 0;  // the limit of generated tokens
  int64_t preemptions = 0;
};

// Why the server ended or refused a request that was in order.
enum class DropReason : uint8_t {
  kSlowClient,  // the client read its stream too slowly
  kEventsFull,  // the request's EventQueue was full
  kBodiesFull,  // too many large bodies waited to be read
};

class ServingMetrics {
 public:
  explicit ServingMetrics(const std::string& model_name);
  ~ServingMetrics();

  void ObserveFirstToken(absl::Duration since_arrival);
  void ObserveInterToken(absl::Duration gap);
  void ObserveEnd(const SequenceEnd& sequence);
  // All answers to one prompt have ended. `n`: how many there were; `most_generated`: the tokens of the
  // longest.
  void ObservePromptEnd(int64_t n, int64_t most_generated);

  void ObserveDropped(DropReason reason);
  // `fields` unknown fields of one request were ignored.
  void ObserveIgnoredFields(int64_t fields);

  // ObserveLoss: serving pauses or ends. ObserveRecovery: serving goes on.
  void ObserveLoss();
  void ObserveRecovery(absl::Duration since_loss);

  // The hosts of the ranks of a new epoch; entry r is rank r's.
  void SetRankHosts(const std::vector<std::string>& hosts);
  // One step of that epoch; seconds[r]: how much later than its peers rank r came (LateRanks).
  void ObserveLate(const std::vector<double>& seconds);

  // The type of the KV cache's entries, as --kv-cache-dtype names it. Until then no vllm:cache_config_info is
  // rendered.
  void SetCacheType(const std::string& type);

  // The Prometheus text format.
  std::string Render(const std::optional<ServingStats>& stats) const;

 private:
  prometheus::MetricFamily CacheConfig(const ServingStats& stats, const std::string& type) const;
  void AddDrafts(const ServingStats& stats, std::vector<prometheus::MetricFamily>& families) const;

  std::string model_name_;
  mutable std::mutex mutex_;
  std::string cache_type_;                          // guarded by mutex_
  std::vector<prometheus::Counter*> late_by_rank_;  // guarded by mutex_; of the epoch's ranks
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
  prometheus::Histogram* inference_;
  prometheus::Histogram* computed_tokens_;
  prometheus::Histogram* max_tokens_;
  prometheus::Histogram* preemptions_;
  prometheus::Histogram* n_;
  prometheus::Histogram* most_generated_;
  std::map<std::string, prometheus::Counter*> ends_;
  std::map<DropReason, prometheus::Counter*> drops_;
  prometheus::Counter* ignored_fields_;
  prometheus::Counter* losses_;
  prometheus::Counter* recoveries_;
  prometheus::Counter* recovery_seconds_;
  prometheus::Family<prometheus::Counter>* late_;
};

}  // namespace deeprack::coordinator
