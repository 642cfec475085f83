// The server's own counters, from its /metrics. Pure.
#pragma once

#include <optional>

#include "absl/strings/string_view.h"

namespace deeprack::cli {

// A counter that the page does not have is NaN.
struct ServerCounters {
  double cache_queries = 0;  // prompt tokens looked up in the prefix cache
  double cache_hits = 0;     // prompt tokens found there
  double generated = 0;      // tokens
  double preemptions = 0;    // requests that were put back into the queue
};

// The sum of a metric over its labels in a page of Prometheus' text format; NaN without the metric.
double SumOfMetric(absl::string_view page, absl::string_view name);

// Knows the names of vLLM (deeprack has the same) and SGLang. Nothing when the page has none of the counters.
std::optional<ServerCounters> ReadServerCounters(absl::string_view page);

// What was counted between two readings.
ServerCounters Difference(const ServerCounters& before, const ServerCounters& after);

}  // namespace deeprack::cli
