// The options of `deeprack load`, and which of them go together. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/load/objectives.h"
#include "cli/load/request_body.h"
#include "cli/load/trace.h"
#include "cli/load/workload.h"

namespace deeprack::cli {

// As on the command line. An option without a value was not given.
struct LoadOptions {
  std::string url;    // the URL of a running server; "": a cluster is started
  std::string model;  // "": the first model that the server names
  std::string api = "chat";

  std::vector<int64_t> concurrency;  // a closed loop: one level for each
  std::vector<double> rate;          // an open loop, in requests a second: one level for each
  std::optional<double> burstiness;
  std::vector<double> time_scale;  // the trace's own times, multiplied: one level for each
  std::optional<int64_t> requests, warmup;

  std::string workload, trace;  // `trace` is a file; "": not given
  std::optional<int64_t> trace_block;
  std::optional<int64_t> input_tokens, output_tokens, prefix_tokens, prefixes, turns;
  std::optional<double> spread, think_seconds;

  std::string goodput;
  uint64_t seed = 0;
  int64_t threads = 0;  // 0: half of the processors, at most 4
  double timeout_seconds = 600;
  std::string json, html;  // files to write; "": none
};

enum class Loop { kClosed, kOpen, kTrace };

// What the options mean.
struct LoadTest {
  LoadApi api = LoadApi::kChat;
  Loop loop = Loop::kClosed;
  std::vector<double> levels;  // sessions at once, requests a second, or factors of the trace's times
  double burstiness = 1;
  std::string workload;  // the name; "" with a trace
  WorkloadShape shape;   // with a trace: one turn, no prefix
  int64_t trace_block = 512;
  std::optional<Trace> trace;  // ReadLoadFiles fills it, when the options name a trace
  Objectives objectives;
};

// InvalidArgument: options that do not go together or are out of range, with what to do.
absl::StatusOr<LoadTest> CheckLoadOptions(const LoadOptions& options);

// The requests of a level when --requests does not say: 4 for each session at once and turn, and at least 16;
// in an open loop half a minute's, and at least 20. With a trace, 0: all rows.
int64_t RequestsOf(const LoadOptions& options, const LoadTest& test, double level);

// The warm-up requests of a level when --warmup does not say: one for each session at once, at most 16; in an
// open loop 4.
int64_t WarmupOf(const LoadOptions& options, const LoadTest& test, double level);

}  // namespace deeprack::cli
