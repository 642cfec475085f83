// The latencies that a request must keep to count for goodput. Pure.
#pragma once

#include <limits>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/load/request_record.h"

namespace deeprack::cli {

// Seconds. An objective that was not stated is infinite.
struct Objectives {
  double first_token = std::numeric_limits<double>::infinity();
  double output_token = std::numeric_limits<double>::infinity();
  double end_to_end = std::numeric_limits<double>::infinity();

  bool any() const;
  std::string Text() const;  // "ttft:500,tpot:50", in ms; "" without any
};

// Reads "ttft:500,tpot:50,e2e:2000": milliseconds, each at most once. "e2el" is another name of "e2e".
// InvalidArgument: anything else.
absl::StatusOr<Objectives> ParseObjectives(absl::string_view text);

// The time per output token after the first; 0 with one token.
double TimePerOutputToken(const RequestRecord& record);

// A request that failed keeps none.
bool Keeps(const RequestRecord& record, const Objectives& objectives);

}  // namespace deeprack::cli
