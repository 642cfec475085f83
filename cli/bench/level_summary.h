// Rates and latencies over all requests of one concurrency level. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/time/time.h"

namespace deeprack::cli {

// The times of one successful request. output_tokens >= 1.
struct RequestTimes {
  absl::Time sent;  // before its connection was made
  absl::Time first_token;
  absl::Time last_token;
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  int64_t accepted_drafts = 0, rejected_drafts = 0;
};

// Rates are tokens per second, times are seconds. A value that no request measures is NaN: without requests
// all values; with one output token a request the times per output token.
struct LevelSummary {
  // All streams: output tokens over the time from the first request sent to the last token.
  double output_rate = 0;
  double stream_rate = 0;  // one stream, once it flows: the median of 1 / time per output token
  double prompt_rate = 0;  // prompt tokens over the time in which any request waited for its first token
  double first_token_p50 = 0, first_token_p99 = 0;
  double output_token_p50 = 0,
         output_token_p99 = 0;  // (last - first token) / (output tokens - 1), by request
  double acceptance = 0;        // the share of drafts that were accepted; NaN: there were none
};

LevelSummary Summarise(std::span<const RequestTimes> requests);

// The percentile of the values (`percent` from 0 to 100), linear between neighbours as numpy's. NaN when
// there are no values.
double Percentile(std::vector<double> values, double percent);

// The same of values in rising order.
double PercentileOfSorted(std::span<const double> values, double percent);

}  // namespace deeprack::cli
