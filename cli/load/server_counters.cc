#include "cli/load/server_counters.h"

#include <cmath>
#include <initializer_list>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace deeprack::cli {
namespace {

// The first metric of the list that the page has.
double FirstOf(absl::string_view page, std::initializer_list<absl::string_view> names) {
  for (const absl::string_view name : names) {
    if (const double sum = SumOfMetric(page, name); !std::isnan(sum)) return sum;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

double SumOfMetric(absl::string_view page, absl::string_view name) {
  double sum = 0;
  bool found = false;
  for (absl::string_view line : absl::StrSplit(page, '\n')) {
    if (!absl::ConsumePrefix(&line, name) || line.empty()) continue;
    if (line[0] == '{') {
      const size_t end =
          line.rfind('}');  // a label's value may hold braces; the number after them holds none
      if (end == absl::string_view::npos) continue;
      line.remove_prefix(end + 1);
    } else if (line[0] != ' ') {
      continue;  // the name of another metric begins with this name
    }
    const std::pair<absl::string_view, absl::string_view> value_and_time =
        absl::StrSplit(absl::StripLeadingAsciiWhitespace(line), absl::MaxSplits(' ', 1));
    double value = 0;
    if (!absl::SimpleAtod(absl::StripAsciiWhitespace(value_and_time.first), &value)) continue;
    sum += value;
    found = true;
  }
  return found ? sum : std::numeric_limits<double>::quiet_NaN();
}

std::optional<ServerCounters> ReadServerCounters(absl::string_view page) {
  const ServerCounters counters = {
      .cache_queries = FirstOf(page, {"vllm:prefix_cache_queries_total",
                                      "vllm:gpu_prefix_cache_queries_total", "sglang:prompt_tokens_total"}),
      .cache_hits = FirstOf(page, {"vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total",
                                   "sglang:cached_tokens_total"}),
      .generated = FirstOf(page, {"vllm:generation_tokens_total", "sglang:generation_tokens_total"}),
      .preemptions = FirstOf(page, {"vllm:num_preemptions_total", "sglang:num_retracted_requests_total"})};
  if (std::isnan(counters.cache_queries) && std::isnan(counters.generated)) return std::nullopt;
  return counters;
}

ServerCounters Difference(const ServerCounters& before, const ServerCounters& after) {
  return {.cache_queries = after.cache_queries - before.cache_queries,
          .cache_hits = after.cache_hits - before.cache_hits,
          .generated = after.generated - before.generated,
          .preemptions = after.preemptions - before.preemptions};
}

}  // namespace deeprack::cli
