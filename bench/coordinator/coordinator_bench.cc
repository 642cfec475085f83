// What a coordinator costs and carries, with simulated ranks: coordinator and clients are real, on this
// machine, over HTTP; the ranks' times and tokens are simulated. docs/LOAD.md has the figures.
//
// Modes:
// - marks: processor time of a token, streams at once, tokens a second, memory. Its parts alone: requests,
//   streams, and floor, which is `send` without a coordinator.
// - overload: ten seconds under three times the load that the coordinator's limits carry.
// - pace: the time between two tokens of running streams, with and without prompts that come in beside them.
// - serve: serves until it is killed, for `deeprack load --url`.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <string>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "bench/coordinator/send_floor.h"
#include "bench/coordinator/served_rack.h"
#include "bench/coordinator/stream_clients.h"

namespace deeprack::bench {
namespace {

struct Options {
  std::string model = "demo/model";
  int streams = 10000;
  int pace_ms = 200;  // between two tokens of a stream
  int seconds = 10;
  int dp = 320;
  int http_threads = 2;
  int port = 0;
  double load = 3;
  int prompt_tokens = 0;
};

RackOptions RackOf(const Options& options) {
  RackOptions rack{.model = options.model, .dp = options.dp};
  rack.http.port = static_cast<uint16_t>(options.port);
  rack.http.threads = options.http_threads;
  rack.http.max_connections = 1 << 16;
  return rack;
}

double Microseconds(absl::Duration duration) { return absl::ToDoubleMicroseconds(duration); }

// Waits until `count` sequences run, or 60 s.
void AwaitRunning(const ServedRack& rack, int64_t count) {
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (rack.Stats().running < count && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(20));
}

void PrintWindow(const char* what, const CoordinatorUse& begin, const CoordinatorUse& end, int64_t streams) {
  const double seconds = absl::ToDoubleSeconds(end.at - begin.at);
  const auto tokens = static_cast<double>(std::max<int64_t>(end.tokens - begin.tokens, 1));
  const absl::Duration processor = end.processor - begin.processor;
  std::printf(
      "%s: %lld streams, %.0f tokens/s, coordinator %.1f us a token (%.1f us of it in the kernel), %.0f%% of "
      "one core\n",
      what, static_cast<long long>(streams), tokens / seconds, Microseconds(processor) / tokens,
      Microseconds(end.in_kernel - begin.in_kernel) / tokens,
      100 * absl::ToDoubleSeconds(processor) / seconds);
}

void PrintClients(const ClientsReport& report) {
  std::printf(
      "  clients: first event p50 %.0f ms, p99 %.0f ms; gap p50 %.1f ms, p99 %.1f ms; %lld finished, %lld "
      "refused, "
      "%lld failed; %.1f s of processor\n",
      report.first_p50, report.first_p99, report.gap_p50, report.gap_p99,
      static_cast<long long>(report.finished), static_cast<long long>(report.refused),
      static_cast<long long>(report.failed), report.processor_seconds);
  std::fflush(stdout);
}

// `streams` streams that last, each with a token every options.pace_ms.
absl::Status MeasureStreams(const Options& options, StreamClients& clients) {
  RackOptions setup = RackOf(options);
  setup.cost = {.step = absl::Milliseconds(options.pace_ms),
                .decode = absl::ZeroDuration(),
                .prefill = absl::ZeroDuration()};
  setup.max_waiting = options.streams;
  setup.max_context = 2048;
  DR_ASSIGN_OR_RETURN(const std::unique_ptr<ServedRack> rack, ServedRack::Start(setup));
  const CoordinatorUse idle = rack->Use();
  clients.Start({.port = rack->port(),
                 .streams = options.streams,
                 .ramp_per_second = 2000,
                 .output_tokens = 1900,
                 .settle_seconds = 3});
  AwaitRunning(*rack, options.streams);
  absl::SleepFor(absl::Seconds(2));
  const CoordinatorUse begin = rack->Use();
  absl::SleepFor(absl::Seconds(options.seconds));
  const CoordinatorUse end = rack->Use();
  const int64_t running = rack->Stats().running;
  clients.Stop();
  const ClientsReport report = clients.Report();
  PrintWindow("steady streams", begin, end, running);
  PrintClients(report);
  std::printf("  memory: %.1f KiB a stream (%.0f MiB before, %.0f MiB with all of them)\n",
              static_cast<double>(end.resident_bytes - idle.resident_bytes) / 1024 / options.streams,
              static_cast<double>(idle.resident_bytes) / (1 << 20),
              static_cast<double>(end.resident_bytes) / (1 << 20));
  return absl::OkStatus();
}

// Whole requests of 32 tokens in and 64 out, at 64 streams: parsing, the template and the tokenizer included.
absl::Status MeasureRequests(const Options& options, StreamClients& clients) {
  RackOptions setup = RackOf(options);
  setup.cost = {
      .step = absl::Milliseconds(2), .decode = absl::ZeroDuration(), .prefill = absl::ZeroDuration()};
  DR_ASSIGN_OR_RETURN(const std::unique_ptr<ServedRack> rack, ServedRack::Start(setup));
  clients.Start({.port = rack->port(), .streams = 64, .output_tokens = 64});
  absl::SleepFor(absl::Seconds(1));
  const CoordinatorUse begin = rack->Use();
  absl::SleepFor(absl::Seconds(options.seconds));
  const CoordinatorUse end = rack->Use();
  clients.Stop();
  const ClientsReport report = clients.Report();
  PrintWindow("requests of 64 tokens", begin, end, 64);
  PrintClients(report);
  return absl::OkStatus();
}

// The kernel's part, without a coordinator.
absl::Status MeasureFloor(const Options& options, StreamClients& clients) {
  const SendFloor floor(options.streams, absl::Milliseconds(options.pace_ms));
  clients.Start({.port = floor.port(), .streams = options.streams, .ramp_per_second = 2000});
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (floor.sent() == 0 && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(20));
  absl::SleepFor(absl::Seconds(1));
  const auto use = [&floor] {
    CoordinatorUse now = UseOfProcess();
    now.tokens = floor.sent();
    return now;
  };
  const CoordinatorUse begin = use();
  absl::SleepFor(absl::Seconds(options.seconds));
  PrintWindow("send alone", begin, use(), options.streams);
  clients.Stop();
  PrintClients(clients.Report());
  return absl::OkStatus();
}

absl::Status Marks(const Options& options, StreamClients& clients) {
  DR_RETURN_IF_ERROR(MeasureRequests(options, clients));
  DR_RETURN_IF_ERROR(MeasureStreams(options, clients));
  return MeasureFloor(options, clients);
}

// The cost model's rack with room for 512 sequences and a queue of 128. A closed loop of as many sessions as
// run at once gives the peak; then requests come at `options.load` times that pace.
absl::Status Overload(const Options& options, StreamClients& clients) {
  constexpr int kTokens = 64;
  RackOptions setup = RackOf(options);
  setup.dp = 32;
  setup.max_sequences = 16;
  setup.max_waiting = 128;
  const int room = setup.dp * setup.max_sequences;
  DR_ASSIGN_OR_RETURN(const std::unique_ptr<ServedRack> rack, ServedRack::Start(setup));
  clients.Start({.port = rack->port(), .streams = room, .ramp_per_second = 500, .output_tokens = kTokens});
  absl::SleepFor(absl::Seconds(3));
  const CoordinatorUse begin = rack->Use();
  absl::SleepFor(absl::Seconds(options.seconds));
  const CoordinatorUse end = rack->Use();
  clients.Stop();
  PrintWindow("peak", begin, end, room);
  PrintClients(clients.Report());
  const double peak =
      static_cast<double>(end.tokens - begin.tokens) / absl::ToDoubleSeconds(end.at - begin.at) / kTokens;

  clients.Start({.port = rack->port(),
                 .rate = options.load * peak,
                 .seconds = options.seconds + 3.0,
                 .output_tokens = kTokens});
  absl::SleepFor(absl::Seconds(3));
  const CoordinatorUse before = rack->Use();
  absl::SleepFor(absl::Seconds(options.seconds));
  const CoordinatorUse after = rack->Use();
  const ClientsReport report = clients.Report();
  PrintWindow("overload", before, after, room);
  PrintClients(report);
  const double served = static_cast<double>(after.tokens - before.tokens) /
                        absl::ToDoubleSeconds(after.at - before.at) / kTokens;
  std::printf(
      "  %.0f requests/s offered, %.0f/s at the peak, %.0f/s served under overload (%.0f%%); refusals p50 "
      "%.1f ms, p99 %.1f "
      "ms, at most %.1f ms; memory %.0f MiB before, %.0f MiB after\n",
      options.load * peak, peak, served, 100 * served / peak, report.refusal_p50, report.refusal_p99,
      report.refusal_most, static_cast<double>(before.resident_bytes) / (1 << 20),
      static_cast<double>(after.resident_bytes) / (1 << 20));
  return absl::OkStatus();
}

// One dp group. First the streams alone; then beside them one prompt after the other, so that every step
// could have a part of one.
absl::Status MeasurePace(const Options& options, StreamClients& clients, StreamClients& prompts) {
  constexpr int kPromptWords = 1900;
  for (const int streams : {8, 32, 128}) {
    RackOptions setup = RackOf(options);
    setup.dp = 1;
    setup.event_for_each_token = true;
    setup.prefill_tokens_beside_decodes = options.prompt_tokens;
    setup.max_sequences = streams + 2;
    setup.blocks_per_dp_rank = 1 << 13;
    DR_ASSIGN_OR_RETURN(const std::unique_ptr<ServedRack> rack, ServedRack::Start(setup));
    double alone = 0;
    for (const bool beside : {false, true}) {
      clients.Start({.port = rack->port(), .streams = streams, .output_tokens = 1900});
      AwaitRunning(*rack, streams);
      const int64_t before = rack->Stats().prompt_tokens;
      if (beside) {
        prompts.Start({.port = rack->port(),
                       .streams = 1,
                       .output_tokens = 1,
                       .prompt_words = kPromptWords,
                       .own_prompts = true});
      }
      absl::SleepFor(absl::Seconds(3 + options.seconds));
      const int64_t prompt_tokens = rack->Stats().prompt_tokens - before;
      if (beside) prompts.Stop();
      clients.Stop();
      const ClientsReport report = clients.Report();
      if (!beside) alone = report.gap_p50;
      std::printf("%3d streams %s: gap p50 %.1f ms, p99 %.1f ms (%.2f times the median alone)", streams,
                  beside ? "beside prompts" : "alone         ", report.gap_p50, report.gap_p99,
                  report.gap_p99 / alone);
      if (beside) {
        const ClientsReport of_prompts = prompts.Report();
        std::printf("; %lld prompts, %.0f prompt tokens/s", static_cast<long long>(of_prompts.finished),
                    static_cast<double>(prompt_tokens) / (3 + options.seconds));
      }
      std::printf("\n");
      std::fflush(stdout);
    }
  }
  return absl::OkStatus();
}

absl::Status ServeOnly(const Options& options) {
  RackOptions setup = RackOf(options);
  setup.max_waiting = 1 << 14;
  DR_ASSIGN_OR_RETURN(const std::unique_ptr<ServedRack> rack, ServedRack::Start(setup));
  std::printf("simulated ranks serve at http://127.0.0.1:%d\n", rack->port());
  std::fflush(stdout);
  for (;;) absl::SleepFor(absl::Seconds(1));
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("A coordinator with simulated ranks.");
  app.require_subcommand(1);
  app.add_option("--model", options.model, "whose tokenizer and chat template serve")->capture_default_str();
  app.add_option("--streams", options.streams, "marks: streams at once")->capture_default_str();
  app.add_option("--pace-ms", options.pace_ms, "marks: between two tokens of a stream")
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "of each measurement")->capture_default_str();
  app.add_option("--dp", options.dp, "dp groups of the rack")->capture_default_str();
  app.add_option("--http-threads", options.http_threads, "as the coordinator's")->capture_default_str();
  app.add_option("--load", options.load, "overload: times the peak")->capture_default_str();
  app.add_option("--prefill-tokens-beside-decodes", options.prompt_tokens, "pace: as the coordinator's")
      ->capture_default_str();
  app.add_option("--port", options.port, "serve: 0 is any free one")->capture_default_str();
  for (const char* mode : {"marks", "streams", "requests", "floor", "overload", "pace", "serve"})
    app.add_subcommand(mode)->fallthrough();
  CLI11_PARSE(app, argc, argv);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  std::signal(SIGPIPE, SIG_IGN);

  StreamClients clients, prompts;  // they fork, so they come before all threads
  absl::Status status = InitLog("coordinator", "warn");
  if (status.ok()) {
    const std::string mode = app.get_subcommands().front()->get_name();
    status = mode == "marks"      ? Marks(options, clients)
             : mode == "streams"  ? MeasureStreams(options, clients)
             : mode == "requests" ? MeasureRequests(options, clients)
             : mode == "floor"    ? MeasureFloor(options, clients)
             : mode == "overload" ? Overload(options, clients)
             : mode == "pace"     ? MeasurePace(options, clients, prompts)
                                  : ServeOnly(options);
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "coordinator_bench: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace deeprack::bench

int main(int argc, char** argv) { return deeprack::bench::Main(argc, argv); }
