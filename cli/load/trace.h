// Traces of real traffic: Mooncake's JSON lines and BurstGPT's CSV.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/load/session_plan.h"

namespace deeprack::cli {

struct TraceRow {
  double seconds = 0;  // from the first request of the trace
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;
  // Mooncake: one id for each block of the prompt. Equal ids stand for equal text. Empty: the prompt shares
  // nothing.
  std::vector<uint64_t> blocks;
};

struct Trace {
  std::string format;          // "Mooncake" or "BurstGPT"
  std::vector<TraceRow> rows;  // by time
  int64_t failed_rows = 0;     // rows of BurstGPT without response tokens: requests that failed; left out
  int64_t block_tokens = 0;    // as given to ReadTrace
};

// Reads a trace. The first line says which format it is in:
//   Mooncake  {"timestamp": ms, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1, ...]}
//   BurstGPT  Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type   (seconds; other columns
//             are ignored)
// `name` stands in messages. `block_tokens`: the tokens of a block of Mooncake's hash_ids. InvalidArgument: a
// line that is wrong, with its number, or no request at all.
absl::StatusOr<Trace> ReadTrace(std::istream& in, const std::string& name, int64_t block_tokens);

// As ReadTrace. NotFound: the file cannot be read.
absl::StatusOr<Trace> ReadTraceFile(const std::string& path, int64_t block_tokens);

// The first `requests` rows as sessions of one turn (0: all rows). A session starts at its row's time,
// multiplied by `time_scale`, or at `starts` when that is not empty. Texts differ between seeds.
std::vector<SessionPlan> SessionsOfTrace(const Trace& trace, int64_t requests, double time_scale,
                                         const std::vector<double>& starts, uint64_t seed);

}  // namespace deeprack::cli
