#include "cli/load/level_report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "absl/strings/str_format.h"
#include "cli/bench/level_summary.h"

namespace deeprack::cli {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// A workload whose prompts share nothing should find little of them in the cache.
constexpr double kMostChanceHits = 0.5;

double Over(double amount, double by) { return by > 0 ? amount / by : kNone; }

// Requests in the plan over the time between the first and the last of them.
double OfferedRate(std::span<const RequestRecord> records) {
  if (records.size() < 2) return kNone;
  const auto earlier = [](const RequestRecord& a, const RequestRecord& b) { return a.planned < b.planned; };
  const auto [first, last] = std::minmax_element(records.begin(), records.end(), earlier);
  return Over(static_cast<double>(records.size() - 1), last->planned - first->planned);
}

int64_t MostInFlight(std::span<const RequestRecord> records) {
  std::vector<std::pair<double, int>> changes;  // an end comes before a beginning at the same time
  for (const RequestRecord& record : records) {
    changes.emplace_back(record.sent, 1);
    changes.emplace_back(record.ended, -1);
  }
  std::sort(changes.begin(), changes.end());
  int64_t now = 0, most = 0;
  for (const auto& [_, change] : changes) most = std::max(most, now += change);
  return most;
}

// Cached over all prompt tokens, of the answers whose usage states both.
double HitRate(std::span<const RequestRecord> records) {
  int64_t cached = 0, looked_up = 0;
  for (const RequestRecord& record : records) {
    if (!record.ok() || record.cached_tokens < 0 || record.prompt_tokens <= 0) continue;
    cached += record.cached_tokens;
    looked_up += record.prompt_tokens;
  }
  return Over(static_cast<double>(cached), static_cast<double>(looked_up));
}

void AddWarnings(const LevelFacts& facts, LevelReport& report) {
  if (const std::string why = WhyClientWasTheBottleneck(report.client); !why.empty())
    report.warnings.push_back(why);
  if (!facts.shares_prompts && report.cache_hit_rate > kMostChanceHits) {
    report.warnings.push_back(
        absl::StrFormat("%.0f%% of the prompt tokens were in the server's prefix cache, although the "
                        "workload's prompts share "
                        "nothing: an earlier run had the same seed. Use another --seed.",
                        report.cache_hit_rate * 100));
  }
}

}  // namespace

Latency LatencyOf(std::vector<double> seconds) {
  if (seconds.empty()) return {.mean = kNone, .p50 = kNone, .p90 = kNone, .p99 = kNone, .samples = 0};
  std::sort(seconds.begin(), seconds.end());
  const double sum = std::accumulate(seconds.begin(), seconds.end(), 0.0);
  return {.mean = sum / static_cast<double>(seconds.size()),
          .p50 = PercentileOfSorted(seconds, 50),
          .p90 = PercentileOfSorted(seconds, 90),
          .p99 = PercentileOfSorted(seconds, 99),
          .samples = static_cast<int64_t>(seconds.size())};
}

LevelReport MakeLevelReport(std::span<const RequestRecord> records, const Objectives& objectives,
                            const LevelFacts& facts) {
  LevelReport report = {.name = facts.name,
                        .load = facts.load,
                        .requests = static_cast<int64_t>(records.size()),
                        .not_sent = facts.not_sent,
                        .failures = {},
                        .most_in_flight = MostInFlight(records),
                        .offered_rate = facts.planned_times ? OfferedRate(records) : kNone,
                        .server = facts.server,
                        .client = facts.client,
                        .warnings = {}};
  double begin = std::numeric_limits<double>::infinity(), end = -begin;
  int64_t kept = 0, events = 0;
  std::vector<double> first_token, gaps, output_token, end_to_end, delays;
  for (const RequestRecord& record : records) {
    begin = std::min(begin, record.sent);
    end = std::max(end, record.ended);
    delays.push_back(record.sent - record.planned);
    if (!record.ok()) {
      Failures& failures = report.failures[record.error_kind];
      if (failures.count++ == 0) failures.example = record.error_message;
      continue;
    }
    ++report.succeeded;
    kept += Keeps(record, objectives);
    report.input_tokens += std::max<int64_t>(0, record.prompt_tokens);
    report.output_tokens += record.output_tokens;
    events += record.token_events;
    first_token.push_back(record.first - record.sent);
    end_to_end.push_back(record.ended - record.sent);
    if (record.output_tokens > 1) output_token.push_back(TimePerOutputToken(record));
    gaps.insert(gaps.end(), record.event_gaps.begin(), record.event_gaps.end());
  }
  report.seconds = records.empty() ? kNone : end - begin;
  report.request_rate = Over(static_cast<double>(report.succeeded), report.seconds);
  // Without usage the input tokens are unknown.
  report.input_rate =
      report.input_tokens > 0 ? Over(static_cast<double>(report.input_tokens), report.seconds) : kNone;
  report.output_rate = Over(static_cast<double>(report.output_tokens), report.seconds);
  report.tokens_per_event = Over(static_cast<double>(report.output_tokens), static_cast<double>(events));
  report.first_token = LatencyOf(std::move(first_token));
  report.event_gap = LatencyOf(std::move(gaps));
  report.output_token = LatencyOf(std::move(output_token));
  report.end_to_end = LatencyOf(std::move(end_to_end));
  report.send_delay = LatencyOf(std::move(delays));
  report.user_rate = Over(1, report.output_token.p50);
  report.goodput = objectives.any() ? Over(static_cast<double>(kept), report.seconds) : kNone;
  report.goodput_share =
      objectives.any() ? Over(static_cast<double>(kept), static_cast<double>(report.requests)) : kNone;
  report.cache_hit_rate = HitRate(records);
  report.server_cache_hit_rate =
      facts.server.has_value() ? Over(facts.server->cache_hits, facts.server->cache_queries) : kNone;
  report.client.send_delay_p99 = report.send_delay.samples > 0 ? report.send_delay.p99 : 0;
  AddWarnings(facts, report);
  return report;
}

}  // namespace deeprack::cli
