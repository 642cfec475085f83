#include "coordinator/api/serving_metrics.h"

#include <algorithm>
#include <limits>
#include <sstream>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "base/check.h"
#include "base/ids.h"

namespace deeprack::coordinator {
namespace {

// vLLM's buckets, so that its dashboards fit.
const std::vector<double> kFirstTokenSeconds = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                                0.25,  0.5,   0.75, 1.0,  2.5,  5.0,  7.5,  10,
                                                20,    40,    80,   160,  640,  2560};
const std::vector<double> kTokenSeconds = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                                           0.75, 1.0,   2.5,  5.0,   7.5, 10,   20,  40,  80};
const std::vector<double> kRequestSeconds = {0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5,   10,   15,  20,
                                             30,  40,  50,  60,  120, 240, 480, 960, 1920, 7680};
const std::vector<double> kTokenCounts = {1,   2,    5,    10,   20,    50,    100,   200,
                                          500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};

const std::vector<double> kAnswers = {1, 2, 5, 10, 20};
const std::vector<double> kPreemptions = {1, 2, 3, 4, 5, 10, 20};

prometheus::MetricFamily Single(const std::string& model_name, std::string name, std::string help,
                                prometheus::MetricType type, double value) {
  prometheus::ClientMetric metric;
  metric.label.push_back({"model_name", model_name});
  metric.gauge.value = value;
  metric.counter.value = value;
  return {.name = std::move(name), .help = std::move(help), .type = type, .metric = {metric}};
}

prometheus::ClientMetric Labelled(const std::string& model_name, const char* label, const char* value,
                                  double count) {
  prometheus::ClientMetric metric;
  metric.label = {{"model_name", model_name}, {label, value}};
  metric.gauge.value = metric.counter.value = count;
  return metric;
}

prometheus::MetricFamily OfSteps(const std::string& model_name, const StepTokens& steps) {
  prometheus::ClientMetric metric;
  metric.label.push_back({"model_name", model_name});
  uint64_t count = 0;
  for (size_t i = 0; i < steps.steps.size(); ++i) {
    count += static_cast<uint64_t>(steps.steps[i]);
    const double bound = i < StepTokens::kBounds.size() ? static_cast<double>(StepTokens::kBounds[i])
                                                        : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({.cumulative_count = count, .upper_bound = bound});
  }
  metric.histogram.sample_count = count;
  metric.histogram.sample_sum = static_cast<double>(steps.tokens);
  return {.name = "vllm:iteration_tokens_total",
          .help = "Tokens of a step: prompt tokens computed and tokens generated.",
          .type = prometheus::MetricType::Histogram,
          .metric = {metric}};
}

// A counter for each rank.
prometheus::MetricFamily OfRanks(const std::string& model_name, std::string name, std::string help,
                                 const std::vector<model::StepTimings>& ranks,
                                 double model::StepTimings::*seconds) {
  prometheus::MetricFamily family = {.name = std::move(name),
                                     .help = std::move(help),
                                     .type = prometheus::MetricType::Counter,
                                     .metric = {}};
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    prometheus::ClientMetric metric;
    metric.label = {{"model_name", model_name}, {"rank", std::to_string(rank)}};
    metric.counter.value = ranks[rank].*seconds;
    family.metric.push_back(std::move(metric));
  }
  return family;
}

}  // namespace

ServingMetrics::ServingMetrics(const std::string& model_name)
    : model_name_(model_name), registry_(std::make_unique<prometheus::Registry>()) {
  const prometheus::Labels labels = {{"model_name", model_name}};
  const auto histogram = [&](const char* name, const char* help, const std::vector<double>& buckets) {
    return &prometheus::BuildHistogram().Name(name).Help(help).Register(*registry_).Add(labels, buckets);
  };
  first_token_ = histogram("vllm:time_to_first_token_seconds", "From a request's arrival to its first token.",
                           kFirstTokenSeconds);
  inter_token_ =
      histogram("vllm:inter_token_latency_seconds", "Between two tokens of a sequence.", kTokenSeconds);
  per_output_token_ =
      histogram("vllm:request_time_per_output_token_seconds",
                "Mean time between a sequence's tokens, one value for each sequence.", kTokenSeconds);
  end_to_end_ =
      histogram("vllm:e2e_request_latency_seconds", "From a request's arrival to its end.", kRequestSeconds);
  queue_ = histogram("vllm:request_queue_time_seconds", "From a sequence's arrival to its first step.",
                     kRequestSeconds);
  prefill_ = histogram("vllm:request_prefill_time_seconds",
                       "From a sequence's first step to its first token.", kRequestSeconds);
  decode_ = histogram("vllm:request_decode_time_seconds", "From a sequence's first token to its end.",
                      kRequestSeconds);
  prompt_tokens_ = histogram("vllm:request_prompt_tokens", "Prompt tokens of a sequence.", kTokenCounts);
  generation_tokens_ =
      histogram("vllm:request_generation_tokens", "Generated tokens of a sequence.", kTokenCounts);
  inference_ = histogram("vllm:request_inference_time_seconds", "From a sequence's first step to its end.",
                         kRequestSeconds);
  computed_tokens_ =
      histogram("vllm:request_prefill_kv_computed_tokens",
                "Prompt tokens of a sequence that were not found in the prefix cache.", kTokenCounts);
  max_tokens_ =
      histogram("vllm:request_params_max_tokens", "Most tokens that a sequence may generate.", kTokenCounts);
  preemptions_ =
      histogram("vllm:request_num_preemptions",
                "Times that a sequence was put back into the queue for lack of KV pages.", kPreemptions);
  n_ = histogram("vllm:request_params_n", "Answers asked for to a prompt.", kAnswers);
  most_generated_ = histogram("vllm:request_max_num_generation_tokens",
                              "Generated tokens of a prompt's longest answer.", kTokenCounts);
  auto& ends = prometheus::BuildCounter()
                   .Name("vllm:request_success_total")
                   .Help("Sequences that ended, by reason; abort: the client left or was too slow.")
                   .Register(*registry_);
  for (const char* reason : {"stop", "length", "tool_calls", "abort", "error"}) {
    ends_[reason] = &ends.Add({{"model_name", model_name}, {"finished_reason", reason}});
  }
  const auto counter = [&](const char* name, const char* help) {
    return &prometheus::BuildCounter().Name(name).Help(help).Register(*registry_).Add(labels);
  };
  auto& drops =
      prometheus::BuildCounter()
          .Name("deeprack:requests_dropped_total")
          .Help(
              "Requests that the server ended or refused, by reason; slow_client: the client read its stream "
              "too slowly; events_full: the server fell behind; bodies_full: too many large bodies waited.")
          .Register(*registry_);
  for (const auto& [reason, name] : {std::pair{DropReason::kSlowClient, "slow_client"},
                                     {DropReason::kEventsFull, "events_full"},
                                     {DropReason::kBodiesFull, "bodies_full"}}) {
    drops_[reason] = &drops.Add({{"model_name", model_name}, {"reason", name}});
  }
  ignored_fields_ = counter("deeprack:ignored_fields_total",
                            "Unknown fields of accepted requests, ignored because of --unknown-fields.");
  late_ = &prometheus::BuildCounter()
               .Name("deeprack:rank_late_seconds_total")
               .Help("Time that a rank came later to collectives than the median of the ranks with its work.")
               .Register(*registry_);
  losses_ =
      counter("deeprack:losses_total", "Times that a lost rank or a failed step paused or ended serving.");
  recoveries_ = counter("deeprack:recoveries_total", "Times that serving went on after a loss.");
  recovery_seconds_ =
      counter("deeprack:recovery_seconds_total", "Time from losses to the moments when serving went on.");
}

ServingMetrics::~ServingMetrics() = default;

void ServingMetrics::ObserveFirstToken(absl::Duration since_arrival) {
  first_token_->Observe(absl::ToDoubleSeconds(since_arrival));
}

void ServingMetrics::ObserveInterToken(absl::Duration gap) {
  inter_token_->Observe(absl::ToDoubleSeconds(gap));
}

void ServingMetrics::ObserveEnd(const SequenceEnd& sequence) {
  const SequenceTimes& times = sequence.times;
  const auto counter = ends_.find(sequence.reason);
  DR_CHECK(counter != ends_.end());
  counter->second->Increment();
  end_to_end_->Observe(absl::ToDoubleSeconds(times.end - times.arrival));
  // A sequence that never ran was in the queue until its end.
  queue_->Observe(absl::ToDoubleSeconds(std::min(times.first_scheduled, times.end) - times.arrival));
  prompt_tokens_->Observe(static_cast<double>(sequence.prompt_tokens));
  generation_tokens_->Observe(static_cast<double>(sequence.generated_tokens));
  preemptions_->Observe(static_cast<double>(sequence.preemptions));
  if (sequence.max_tokens > 0) max_tokens_->Observe(static_cast<double>(sequence.max_tokens));
  if (times.first_scheduled <= times.end) {
    inference_->Observe(absl::ToDoubleSeconds(times.end - times.first_scheduled));
    computed_tokens_->Observe(static_cast<double>(sequence.prompt_tokens - sequence.cached_tokens));
  }
  if (sequence.generated_tokens == 0) return;
  const double decoding = absl::ToDoubleSeconds(times.end - times.first_token);
  prefill_->Observe(absl::ToDoubleSeconds(times.first_token - times.first_scheduled));
  decode_->Observe(decoding);
  if (sequence.generated_tokens > 1) {
    per_output_token_->Observe(decoding / static_cast<double>(sequence.generated_tokens - 1));
  }
}

void ServingMetrics::ObservePromptEnd(int64_t n, int64_t most_generated) {
  n_->Observe(static_cast<double>(n));
  most_generated_->Observe(static_cast<double>(most_generated));
}

void ServingMetrics::SetCacheType(const std::string& type) {
  const std::lock_guard lock(mutex_);
  cache_type_ = type;
}

prometheus::MetricFamily ServingMetrics::CacheConfig(const ServingStats& stats,
                                                     const std::string& type) const {
  prometheus::ClientMetric metric;
  metric.label = {{"model_name", model_name_},
                  {"block_size", std::to_string(kPageTokens)},
                  {"cache_dtype", type},
                  {"enable_prefix_caching", "True"},
                  {"kv_cache_size_tokens", std::to_string(stats.blocks_total * kPageTokens)},
                  {"num_gpu_blocks", std::to_string(stats.blocks_total)}};
  metric.gauge.value = 1;
  return {.name = "vllm:cache_config_info",
          .help = "The KV cache: tokens of a page, type, and pages of all dp groups.",
          .type = prometheus::MetricType::Gauge,
          .metric = {metric}};
}

void ServingMetrics::ObserveDropped(DropReason reason) { drops_.at(reason)->Increment(); }

void ServingMetrics::ObserveIgnoredFields(int64_t fields) {
  ignored_fields_->Increment(static_cast<double>(fields));
}

void ServingMetrics::SetRankHosts(const std::vector<std::string>& hosts) {
  const std::lock_guard lock(mutex_);
  late_by_rank_.clear();
  for (size_t rank = 0; rank < hosts.size(); ++rank) {
    late_by_rank_.push_back(
        &late_->Add({{"model_name", model_name_}, {"rank", std::to_string(rank)}, {"host", hosts[rank]}}));
  }
}

void ServingMetrics::ObserveLate(const std::vector<double>& seconds) {
  const std::lock_guard lock(mutex_);
  for (size_t rank = 0; rank < std::min(seconds.size(), late_by_rank_.size()); ++rank) {
    late_by_rank_[rank]->Increment(seconds[rank]);
  }
}

void ServingMetrics::ObserveLoss() { losses_->Increment(); }

void ServingMetrics::ObserveRecovery(absl::Duration since_loss) {
  recoveries_->Increment();
  recovery_seconds_->Increment(absl::ToDoubleSeconds(since_loss));
}

void ServingMetrics::AddDrafts(const ServingStats& stats,
                               std::vector<prometheus::MetricFamily>& families) const {
  const DraftStats& drafts = stats.drafts;
  const auto total = [&](const char* name, const char* help, int64_t value) {
    families.push_back(
        Single(model_name_, name, help, prometheus::MetricType::Counter, static_cast<double>(value)));
  };
  total("vllm:spec_decode_num_drafts_total", "Times that the drafts of a sequence were verified.",
        drafts.verified);
  total("vllm:spec_decode_num_draft_tokens_total", "Drafts that were verified.", drafts.drafts);
  total("vllm:spec_decode_num_accepted_tokens_total", "Drafts that became tokens.", drafts.accepted);
  prometheus::MetricFamily& by_place = families.emplace_back(
      prometheus::MetricFamily{.name = "vllm:spec_decode_num_accepted_tokens_per_pos_total",
                               .help = "Drafts that became tokens, by place from 0.",
                               .type = prometheus::MetricType::Counter,
                               .metric = {}});
  for (int32_t place = 0; place < stats.most_drafts; ++place) {
    by_place.metric.push_back(Labelled(model_name_, "position", std::to_string(place).c_str(),
                                       static_cast<double>(drafts.accepted_at[static_cast<size_t>(place)])));
  }
}

std::string ServingMetrics::Render(const std::optional<ServingStats>& stats) const {
  std::vector<prometheus::MetricFamily> families = registry_->Collect();
  if (stats) {
    const auto gauge = [&](const char* name, const char* help, double value) {
      families.push_back(Single(model_name_, name, help, prometheus::MetricType::Gauge, value));
    };
    const auto total = [&](const char* name, const char* help, int64_t value) {
      families.push_back(
          Single(model_name_, name, help, prometheus::MetricType::Counter, static_cast<double>(value)));
    };
    const double blocks = static_cast<double>(stats->blocks_total);
    gauge("vllm:num_requests_running", "Sequences that hold KV pages.", static_cast<double>(stats->running));
    gauge("vllm:num_requests_waiting", "Sequences in the queue.", static_cast<double>(stats->waiting));
    families.push_back(
        {.name = "vllm:num_requests_waiting_by_reason",
         .help = "Sequences in the queue, by reason; capacity: no free KV pages, or a full step.",
         .type = prometheus::MetricType::Gauge,
         .metric = {Labelled(model_name_, "reason", "capacity", static_cast<double>(stats->waiting)),
                    Labelled(model_name_, "reason", "deferred", 0)}});
    gauge("vllm:kv_cache_usage_perc", "Share of the KV pages in use; 1 is all.",
          blocks > 0 ? static_cast<double>(stats->blocks_used) / blocks : 0);
    total("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.",
          stats->prefix_cache_queries);
    total("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.",
          stats->prefix_cache_hits);
    total("vllm:prompt_tokens_total", "Prompt tokens computed or found.", stats->prompt_tokens);
    const auto cached = static_cast<double>(stats->cached_prompt_tokens);
    families.push_back(
        {.name = "vllm:prompt_tokens_by_source_total",
         .help =
             "Prompt tokens, by source; local_compute: computed, local_cache_hit: found in the prefix cache.",
         .type = prometheus::MetricType::Counter,
         .metric = {Labelled(model_name_, "source", "local_compute",
                             static_cast<double>(stats->prompt_tokens) - cached),
                    Labelled(model_name_, "source", "local_cache_hit", cached)}});
    total("vllm:prompt_tokens_cached_total", "Prompt tokens found in the prefix cache.",
          stats->cached_prompt_tokens);
    families.push_back(OfSteps(model_name_, stats->step_tokens));
    total("vllm:generation_tokens_total", "Tokens generated.", stats->generation_tokens);
    total("vllm:num_preemptions_total", "Sequences put back into the queue for lack of KV pages.",
          stats->preemptions);
    if (stats->most_drafts > 0) AddDrafts(*stats, families);
    total("deeprack:steps_total", "Steps sent to the ranks.", stats->steps);
    total("deeprack:plans_refused_total",
          "Sequences that their ranks refused to compute, because the plan was wrong.",
          stats->sequences_refused);
    total("deeprack:non_finite_logits_total", "Sequences that ended because their logits were not finite.",
          stats->non_finite_logits);
    families.push_back(OfRanks(model_name_, "deeprack:rank_step_seconds_total",
                               "Time of each rank inside steps.", stats->ranks,
                               &model::StepTimings::total_seconds));
    families.push_back(OfRanks(model_name_, "deeprack:rank_collective_seconds_total",
                               "Time of each rank inside collectives, waiting for other ranks included.",
                               stats->ranks, &model::StepTimings::collective_seconds));
  }
  const std::string cache_type = [this] {
    const std::lock_guard lock(mutex_);
    return cache_type_;
  }();
  if (stats && !cache_type.empty()) families.push_back(CacheConfig(*stats, cache_type));
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return text.str();
}

}  // namespace deeprack::coordinator
