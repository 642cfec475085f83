#include "cli/load/load_command.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <memory>
#include <optional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/control_group.h"
#include "base/exit_code.h"
#include "base/status_macros.h"
#include "cli/load/arrivals.h"
#include "cli/load/draws.h"
#include "cli/load/level_report.h"
#include "cli/load/load_run.h"
#include "cli/load/report.h"
#include "cli/load/server_counters.h"
#include "cli/load/server_traits.h"
#include "cli/load/stream_client.h"
#include "cli/terminal/fail.h"
#include "cli/terminal/progress.h"
#include "cli/terminal/terminal.h"

namespace deeprack::cli {
namespace {

constexpr absl::Duration kMetricsTimeout = absl::Seconds(5);
constexpr int64_t kOpenWarmupStreams = 4;

// What a seed of a level is for.
enum Purpose : uint64_t { kMeasured, kWarmup, kArrivals };

std::optional<ServerCounters> AskCounters(const Url& url) {
  const auto page = HttpGet(url, "/metrics", kMetricsTimeout);
  if (!page.ok() || page->status != 200) return std::nullopt;
  return ReadServerCounters(page->body);
}

std::string TokensFact(const ServerFields& fields) {
  if (fields.usage_of_each_event) return "counted by the usage that every event of an answer states";
  if (fields.usage_at_end) return "counted by the usage at the end of each answer";
  return "one for each event with text, because the server reports no usage; input tokens are unknown";
}

std::string ScaleFact(const TokenScale& scale) {
  if (!scale.measured) return "made of words, 1.3 tokens each by guess, because the server reports no usage";
  return absl::StrFormat("made of words, %.2f tokens each and %.0f around them by the server's count",
                         scale.tokens_per_word, scale.tokens_around);
}

std::string LoopFact(const LoadTest& test) {
  switch (test.loop) {
    case Loop::kClosed:
      return "closed loop: a session begins when another has ended";
    case Loop::kOpen:
      return absl::StrFormat(
          "open loop: arrivals wait for no answer; gaps gamma-distributed, burstiness %g%s", test.burstiness,
          test.burstiness == 1 ? " (a Poisson process)" : "");
    case Loop::kTrace:
      return "open loop: the times of the trace, multiplied by the time scale";
  }
  return "";
}

std::string WorkloadText(const LoadOptions& options, const LoadTest& test) {
  if (test.trace.has_value()) {
    return absl::StrCat("trace ", options.trace, " (", test.trace->format, ", ", test.trace->rows.size(),
                        " requests",
                        test.trace->failed_rows > 0
                            ? absl::StrCat("; ", test.trace->failed_rows, " that had failed are left out")
                            : "",
                        ")");
  }
  const WorkloadShape& shape = test.shape;
  std::string text = absl::StrFormat("%s, input %d tokens and output %d tokens on average, spread %g",
                                     test.workload, shape.input_tokens, shape.output_tokens, shape.spread);
  if (shape.prefix_tokens > 0) {
    absl::StrAppendFormat(&text, ", %d shared system %s of %d tokens", shape.prefixes,
                          shape.prefixes == 1 ? "prompt" : "prompts", shape.prefix_tokens);
  }
  if (shape.turns > 1) {
    absl::StrAppendFormat(&text, ", sessions of %d turns with %g s of thinking on average", shape.turns,
                          shape.think_seconds);
  }
  return text;
}

// Runs the levels of one test against one server.
class LoadCommand {
 public:
  LoadCommand(const LoadOptions& options, const LoadTest& test, const Url& url, const Cancelled& cancelled)
      : options_(options), test_(test), url_(url), cancelled_(cancelled) {}

  int Run() {
    const auto bodies = AskServer(url_, test_.api, options_.model, cancelled_);
    if (!bodies.ok()) return Fail(bodies.status());
    bodies_ = *bodies;
    const int64_t threads = Threads();
    auto client = StreamClient::Start({.url = url_,
                                       .path = PathOf(test_.api),
                                       .threads = static_cast<int32_t>(threads),
                                       .request_seconds = options_.timeout_seconds});
    if (!client.ok()) return Fail(client.status());
    client_ = std::move(*client);
    Describe(threads);
    std::fputs(HeadText(report_).c_str(), stdout);
    std::fflush(stdout);

    int exit_code = 0;
    for (size_t i = 0; i < test_.levels.size() && !cancelled_(); ++i) {
      std::optional<LevelReport> level = RunLevel(i);
      if (!level.has_value()) break;  // a level that was cut short is not shown
      std::fputs(LevelText(*level).c_str(), stdout);
      std::fflush(stdout);
      if (level->succeeded == 0 && exit_code == 0 && !level->failures.empty()) {
        const auto& [kind, failures] = *level->failures.begin();
        exit_code = static_cast<int>(ExitCodeOf(StatusOfFailure(kind, failures.example)));
      }
      report_.levels.push_back(std::move(*level));
    }
    if (report_.levels.size() > 1) std::fputs(SweepTable(report_).c_str(), stdout);
    if (!report_.levels.empty()) {
      if (const absl::Status status = WriteFiles(); !status.ok()) return Fail(status);
    }
    return exit_code;
  }

 private:
  int64_t Threads() const {
    if (options_.threads > 0) return options_.threads;
    return std::clamp(UsableProcessors(AllowedProcessorCount(), ReadControlGroup()) / 2, 1, 4);
  }

  void Describe(int64_t threads) {
    report_.target = url_.authority();
    report_.model = bodies_.model;
    report_.date = absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", absl::Now(), absl::UTCTimeZone());
    report_.loop = test_.loop == Loop::kClosed ? "closed" : test_.loop == Loop::kOpen ? "open" : "trace";
    report_.workload = WorkloadText(options_, test_);
    report_.seed = options_.seed;
    report_.objectives = test_.objectives.Text();
    report_.facts = {
        {"load", LoopFact(test_)},
        {"requests",
         absl::StrCat(PathOf(test_.api), ", streamed, greedy, ",
                      bodies_.fields.ignore_eos ? "ends of text ignored"
                                                : "answers end where the model ends them, because the "
                                                  "server does not take ignore_eos")},
        {"tokens", TokensFact(bodies_.fields)},
        {"prompts", absl::StrCat(ScaleFact(bodies_.scale), ", from seed ", options_.seed)},
        {"latencies", "from the real sending of a request; a gap is the time between two events with tokens"},
        {"client", absl::StrCat(threads, threads == 1 ? " network thread" : " network threads",
                                " on a machine of ", std::thread::hardware_concurrency(), " processors")}};
    if (test_.objectives.any()) report_.facts.emplace_back("goodput", report_.objectives + " (ms)");
  }

  uint64_t LevelSeed(size_t level, Purpose purpose) const {
    return MixSeed(options_.seed, level + 1, purpose);
  }

  std::vector<SessionPlan> MeasuredSessions(size_t level) const {
    const double value = test_.levels[level];
    const int64_t requests = RequestsOf(options_, test_, value);
    const uint64_t seed = LevelSeed(level, kMeasured);
    std::vector<double> starts;
    if (test_.loop == Loop::kOpen) {
      const int64_t sessions = !test_.trace.has_value() ? SessionsFor(test_.shape, requests)
                               : requests > 0           ? requests
                                                        : static_cast<int64_t>(test_.trace->rows.size());
      starts = ArrivalTimes(value / static_cast<double>(test_.shape.turns), test_.burstiness, sessions,
                            LevelSeed(level, kArrivals));
    }
    if (!test_.trace.has_value()) return MakeSessions(test_.shape, requests, starts, seed);
    return SessionsOfTrace(*test_.trace, requests, test_.loop == Loop::kTrace ? value : 1, starts, seed);
  }

  // The same lengths with other texts, so that the measured prompts are not in the prefix cache.
  void WarmUp(size_t level) {
    const double value = test_.levels[level];
    const int64_t requests = WarmupOf(options_, test_, value);
    if (requests == 0) return;
    WorkloadShape one_turn = test_.shape;
    one_turn.turns = 1;
    const uint64_t seed = LevelSeed(level, kWarmup);
    const std::vector<SessionPlan> sessions = test_.trace.has_value()
                                                  ? SessionsOfTrace(*test_.trace, requests, 0, {}, seed)
                                                  : MakeSessions(one_turn, requests, {}, seed);
    const int64_t streams = test_.loop == Loop::kClosed ? std::llround(value) : kOpenWarmupStreams;
    RunSessions(sessions, streams, bodies_, *client_, cancelled_, nullptr);
  }

  std::string NameOf(double value) const {
    switch (test_.loop) {
      case Loop::kClosed:
        return absl::StrFormat("concurrency %g", value);
      case Loop::kOpen:
        return absl::StrFormat("rate %g/s", value);
      case Loop::kTrace:
        return absl::StrFormat("time scale %g", value);
    }
    return "";
  }

  // Nothing when the level was cut short.
  std::optional<LevelReport> RunLevel(size_t index) {
    const double value = test_.levels[index];
    const std::vector<SessionPlan> sessions = MeasuredSessions(index);
    WarmUp(index);
    if (cancelled_()) return std::nullopt;
    int64_t requests = 0;
    for (const SessionPlan& session : sessions) requests += static_cast<int64_t>(session.turns.size());
    Progress progress(NameOf(value), /*terminal=*/true, absl::Now(), FormatCount);
    const auto show = [&](int64_t ended) {
      std::fputs(progress.Update(ended, requests, absl::Now()).c_str(), stderr);
    };
    const std::optional<ServerCounters> before = AskCounters(url_);
    client_->BeginMeasuring();
    const LoadRun run =
        RunSessions(sessions, test_.loop == Loop::kClosed ? std::llround(value) : 0, bodies_, *client_,
                    cancelled_, IsTerminal(STDERR_FILENO) ? show : std::function<void(int64_t)>());
    const ClientStrain strain = client_->EndMeasuring();
    const std::optional<ServerCounters> after = AskCounters(url_);
    std::fputs(progress.Finish().c_str(), stderr);
    if (run.cancelled) return std::nullopt;
    LevelFacts facts = {.name = NameOf(value),
                        .load = value,
                        .not_sent = run.not_sent,
                        .planned_times = test_.loop != Loop::kClosed && test_.shape.turns == 1,
                        .shares_prompts = SharesPrompts(),
                        .server = std::nullopt,
                        .client = strain};
    if (before.has_value() && after.has_value()) facts.server = Difference(*before, *after);
    LevelReport level = MakeLevelReport(run.records, test_.objectives, facts);
    if (test_.loop == Loop::kTrace && std::isfinite(level.offered_rate)) level.load = level.offered_rate;
    return level;
  }

  bool SharesPrompts() const {
    if (!test_.trace.has_value()) return test_.shape.prefix_tokens > 0 || test_.shape.turns > 1;
    return std::any_of(test_.trace->rows.begin(), test_.trace->rows.end(),
                       [](const TraceRow& row) { return !row.blocks.empty(); });
  }

  absl::Status WriteFiles() const {
    const auto write = [](const std::string& path, const std::string& text) {
      if (path.empty()) return absl::OkStatus();
      std::ofstream out(path, std::ios::trunc);
      out << text;
      out.close();
      return out ? absl::OkStatus()
                 : absl::FailedPreconditionError(absl::StrCat(path, ": cannot be written"));
    };
    DR_RETURN_IF_ERROR(write(options_.json, ReportJson(report_)));
    return write(options_.html, ReportPage(report_));
  }

  const LoadOptions& options_;
  const LoadTest& test_;
  const Url url_;
  const Cancelled& cancelled_;
  BodyMaker bodies_;
  std::unique_ptr<StreamClient> client_;
  LoadReport report_;
};

}  // namespace

absl::Status StatusOfFailure(absl::string_view kind, absl::string_view message) {
  const std::string text = absl::StrCat(kind, ": ", message);
  if (kind == "refused" || kind == "no connection" || kind == "broken stream" ||
      absl::StartsWith(kind, "http 503"))
    return absl::UnavailableError(text);
  if (kind == "time-out") return absl::DeadlineExceededError(text);
  if (kind == "client limit" || absl::StartsWith(kind, "http 429")) return absl::ResourceExhaustedError(text);
  if (absl::StartsWith(kind, "http 4")) return absl::InvalidArgumentError(text);
  return absl::InternalError(text);
}

absl::Status ReadLoadFiles(const LoadOptions& options, LoadTest& test) {
  if (!options.trace.empty()) {
    DR_ASSIGN_OR_RETURN(test.trace, ReadTraceFile(options.trace, test.trace_block));
  }
  for (const std::string& path : {options.json, options.html}) {
    if (path.empty()) continue;
    if (!std::ofstream(path, std::ios::app))
      return absl::FailedPreconditionError(absl::StrCat(path, ": cannot be written; does its folder exist?"));
  }
  return absl::OkStatus();
}

int Load(const LoadOptions& options, const LoadTest& test, const Url& url, const Cancelled& cancelled) {
  return LoadCommand(options, test, url, cancelled).Run();
}

}  // namespace deeprack::cli
