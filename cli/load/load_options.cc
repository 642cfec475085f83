#include "cli/load/load_options.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace deeprack::cli {
namespace {

constexpr int64_t kMostRequests = int64_t{1} << 24;
constexpr int64_t kMostStreams = 65536;

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

absl::Status CheckRange(const char* flag, double value, double least, double most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return Bad(absl::StrCat(flag, " is ", value, "; expected ", least, " to ", most));
}

template <class T>
absl::Status CheckGiven(const char* flag, const std::optional<T>& value, double least, double most) {
  return value.has_value() ? CheckRange(flag, static_cast<double>(*value), least, most) : absl::OkStatus();
}

absl::Status CheckRanges(const LoadOptions& options) {
  for (const int64_t one : options.concurrency)
    DR_RETURN_IF_ERROR(CheckRange("--concurrency", static_cast<double>(one), 1, kMostStreams));
  for (const double one : options.rate) DR_RETURN_IF_ERROR(CheckRange("--rate", one, 1e-3, 1e5));
  for (const double one : options.time_scale) DR_RETURN_IF_ERROR(CheckRange("--time-scale", one, 1e-6, 1e6));
  DR_RETURN_IF_ERROR(CheckGiven("--burstiness", options.burstiness, 1e-3, 1e6));
  DR_RETURN_IF_ERROR(CheckGiven("--requests", options.requests, 1, kMostRequests));
  DR_RETURN_IF_ERROR(CheckGiven("--warmup", options.warmup, 0, kMostRequests));
  DR_RETURN_IF_ERROR(CheckGiven("--trace-block", options.trace_block, 1, kMostTokens));
  DR_RETURN_IF_ERROR(CheckGiven("--input-tokens", options.input_tokens, 1, kMostTokens));
  DR_RETURN_IF_ERROR(CheckGiven("--output-tokens", options.output_tokens, 1, kMostTokens));
  DR_RETURN_IF_ERROR(CheckGiven("--prefix-tokens", options.prefix_tokens, 1, kMostTokens));
  DR_RETURN_IF_ERROR(CheckGiven("--prefixes", options.prefixes, 1, kMostRequests));
  DR_RETURN_IF_ERROR(CheckGiven("--turns", options.turns, 1, 10'000));
  DR_RETURN_IF_ERROR(CheckGiven("--spread", options.spread, 0, 1));
  DR_RETURN_IF_ERROR(CheckGiven("--think-time", options.think_seconds, 0, 1e5));
  DR_RETURN_IF_ERROR(CheckRange("--client-threads", static_cast<double>(options.threads), 0, 256));
  return CheckRange("--timeout", options.timeout_seconds, 0.001, 1e6);
}

// The loop, and its levels.
absl::Status TakeLoop(const LoadOptions& options, LoadTest& test) {
  if (!options.concurrency.empty() && !options.rate.empty()) {
    return Bad(
        "--concurrency is a closed loop and --rate an open one; choose one of them, and run twice for both");
  }
  if (options.burstiness.has_value() && options.rate.empty())
    return Bad("--burstiness shapes the arrivals of an open loop; give --rate, too");
  const bool own_times = !options.trace.empty() && options.rate.empty() && options.concurrency.empty();
  if (!options.time_scale.empty() && !own_times)
    return Bad("--time-scale multiplies a trace's own times; give --trace, without --rate and --concurrency");
  test.burstiness = options.burstiness.value_or(1);
  if (own_times) {
    test.loop = Loop::kTrace;
    test.levels = options.time_scale.empty() ? std::vector<double>{1} : options.time_scale;
  } else if (!options.rate.empty()) {
    test.loop = Loop::kOpen;
    test.levels = options.rate;
  } else if (!options.concurrency.empty()) {
    test.levels.assign(options.concurrency.begin(), options.concurrency.end());
  } else {
    test.levels = {1, 4, 16};
  }
  return absl::OkStatus();
}

absl::Status TakeTrace(const LoadOptions& options, LoadTest& test) {
  if (!options.workload.empty())
    return Bad("--trace says what is sent, and so does --workload; choose one of them");
  const bool shaped = options.input_tokens || options.output_tokens || options.prefix_tokens ||
                      options.prefixes || options.turns || options.spread || options.think_seconds;
  if (shaped) {
    return Bad(
        "the lengths of prompts and answers are those of --trace: --input-tokens, --output-tokens, --spread, "
        "--prefix-tokens, --prefixes, --turns and --think-time do not go with it");
  }
  test.trace_block = options.trace_block.value_or(test.trace_block);
  return absl::OkStatus();
}

absl::Status TakeWorkload(const LoadOptions& options, LoadTest& test) {
  if (options.trace_block.has_value())
    return Bad("--trace-block says how long the blocks of a trace are; give --trace, too");
  test.workload = options.workload.empty() ? "chat" : options.workload;
  DR_ASSIGN_OR_RETURN(test.shape, NamedWorkload(test.workload));
  WorkloadShape& shape = test.shape;
  if (shape.prefix_tokens == 0 && (options.prefix_tokens || options.prefixes)) {
    return Bad(
        "--prefix-tokens and --prefixes describe the system prompts of --workload shared-prefix or agent");
  }
  if (shape.turns == 1 && (options.turns || options.think_seconds))
    return Bad("--turns and --think-time describe the sessions of --workload agent");
  shape.input_tokens = options.input_tokens.value_or(shape.input_tokens);
  shape.output_tokens = options.output_tokens.value_or(shape.output_tokens);
  shape.spread = options.spread.value_or(shape.spread);
  shape.prefix_tokens = options.prefix_tokens.value_or(shape.prefix_tokens);
  shape.prefixes = options.prefixes.value_or(shape.prefixes);
  shape.turns = options.turns.value_or(shape.turns);
  shape.think_seconds = options.think_seconds.value_or(shape.think_seconds);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LoadTest> CheckLoadOptions(const LoadOptions& options) {
  DR_RETURN_IF_ERROR(CheckRanges(options));
  LoadTest test;
  if (options.api != "chat" && options.api != "completions")
    return Bad(absl::StrCat("--api is '", options.api, "'; expected chat or completions"));
  test.api = options.api == "chat" ? LoadApi::kChat : LoadApi::kCompletions;
  DR_RETURN_IF_ERROR(TakeLoop(options, test));
  DR_RETURN_IF_ERROR(options.trace.empty() ? TakeWorkload(options, test) : TakeTrace(options, test));
  if (!options.goodput.empty()) {
    const auto objectives = ParseObjectives(options.goodput);
    if (!objectives.ok()) return Bad(absl::StrCat("--goodput: ", objectives.status().message()));
    test.objectives = *objectives;
  }
  if (test.loop == Loop::kClosed && options.requests.has_value()) {
    const auto most = static_cast<int64_t>(*std::max_element(test.levels.begin(), test.levels.end()));
    if (const int64_t least = most * test.shape.turns; *options.requests < least) {
      return Bad(absl::StrCat("--requests ", *options.requests, " cannot keep the ", most,
                              " sessions of --concurrency busy; ask for ", least, " at least"));
    }
  }
  return test;
}

int64_t RequestsOf(const LoadOptions& options, const LoadTest& test, double level) {
  if (options.requests.has_value()) return *options.requests;
  if (!options.trace.empty()) return 0;
  if (test.loop == Loop::kClosed) return std::max<int64_t>(16, std::llround(4 * level) * test.shape.turns);
  return std::max<int64_t>(20, std::llround(std::ceil(30 * level)));
}

int64_t WarmupOf(const LoadOptions& options, const LoadTest& test, double level) {
  if (options.warmup.has_value()) return *options.warmup;
  return test.loop == Loop::kClosed ? std::min<int64_t>(16, std::llround(level)) : 4;
}

}  // namespace deeprack::cli
