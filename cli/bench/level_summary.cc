#include "cli/bench/level_summary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace deeprack::cli {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// The length of the union of the times in which requests waited for their first token.
absl::Duration TimeOfWaiting(std::span<const RequestTimes> requests) {
  std::vector<std::pair<absl::Time, absl::Time>> waits;
  for (const RequestTimes& request : requests) waits.emplace_back(request.sent, request.first_token);
  std::sort(waits.begin(), waits.end());
  absl::Duration total;
  absl::Time covered = absl::InfinitePast();
  for (const auto& [begin, end] : waits) {
    if (end <= covered) continue;
    total += end - std::max(begin, covered);
    covered = end;
  }
  return total;
}

double Rate(int64_t tokens, absl::Duration time) {
  return time > absl::ZeroDuration() ? static_cast<double>(tokens) / absl::ToDoubleSeconds(time) : kNone;
}

}  // namespace

double Percentile(std::vector<double> values, double percent) {
  std::sort(values.begin(), values.end());
  return PercentileOfSorted(values, percent);
}

double PercentileOfSorted(std::span<const double> values, double percent) {
  if (values.empty()) return kNone;
  const double place = percent / 100 * static_cast<double>(values.size() - 1);
  const size_t below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  return std::lerp(values[below], values[above], place - static_cast<double>(below));
}

LevelSummary Summarise(std::span<const RequestTimes> requests) {
  int64_t prompt_tokens = 0, output_tokens = 0, accepted = 0, drafts = 0;
  absl::Time begin = absl::InfiniteFuture(), end = absl::InfinitePast();
  std::vector<double> first_token, output_token;
  for (const RequestTimes& request : requests) {
    prompt_tokens += request.prompt_tokens;
    output_tokens += request.output_tokens;
    accepted += request.accepted_drafts;
    drafts += request.accepted_drafts + request.rejected_drafts;
    begin = std::min(begin, request.sent);
    end = std::max(end, request.last_token);
    first_token.push_back(absl::ToDoubleSeconds(request.first_token - request.sent));
    if (request.output_tokens > 1) {
      output_token.push_back(absl::ToDoubleSeconds(request.last_token - request.first_token) /
                             static_cast<double>(request.output_tokens - 1));
    }
  }
  return {.output_rate = requests.empty() ? kNone : Rate(output_tokens, end - begin),
          .stream_rate = 1 / Percentile(output_token, 50),
          .prompt_rate = Rate(prompt_tokens, TimeOfWaiting(requests)),
          .first_token_p50 = Percentile(first_token, 50),
          .first_token_p99 = Percentile(first_token, 99),
          .output_token_p50 = Percentile(output_token, 50),
          .output_token_p99 = Percentile(output_token, 99),
          .acceptance = drafts > 0 ? static_cast<double>(accepted) / static_cast<double>(drafts) : kNone};
}

}  // namespace deeprack::cli
