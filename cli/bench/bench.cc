#include "cli/bench/bench.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/exit_code.h"
#include "base/status_macros.h"
#include "cli/bench/bench_table.h"
#include "cli/bench/load.h"
#include "cli/http/chat_stream.h"
#include "cli/http/completions.h"
#include "cli/terminal/fail.h"

namespace deeprack::cli {
namespace {

// The prompts are drawn from the tokens of this text: ids that are common in any vocabulary.
constexpr char kTextOfPrompts[] =
    "A rack of machines answers many questions at once. Why does the sea look blue, and how many minutes are "
    "left until 17:45? Let x = 3 * (y + 28) / 7; then sort [904, 12, 365] and reverse the word 'lantern'. "
    "The "
    "first printing press was slower than 1,600 pages a day! Say which of the two numbers is larger, step by "
    "step: #include <vector>; def f(n): return n if n < 2 else f(n - 1) + f(n - 2). Quick brown foxes jump "
    "over "
    "lazy dogs while zebras quietly examine vivid jigsaw puzzles. Der Fluss fließt langsam; la lune éclaire "
    "la "
    "route. 在机器的架子上，一个协调器回答许多问题。";

constexpr int64_t kLeastRequests = 4;

// The parts that all requests of a run share.
struct Target {
  Url url;
  std::string model;
  std::vector<TokenId> ids;  // the ids that prompts are drawn from
  // Different in each run: the prefix cache holds no prompts of earlier runs for it.
  std::string cache_salt;
};

absl::StatusOr<Target> Prepare(const Url& url, const Cancelled& cancelled) {
  Target target = {.url = url, .model = {}, .ids = {}, .cache_salt = {}};
  DR_ASSIGN_OR_RETURN(target.model, FirstModel(url));
  DR_ASSIGN_OR_RETURN(target.ids, Tokenize(url, target.model, kTextOfPrompts, false, cancelled));
  if (target.ids.empty()) return absl::InternalError("/tokenize found no token in a text");
  target.cache_salt = absl::StrCat("bench ", getpid(), " ", absl::GetCurrentTimeNanos());
  return target;
}

// `number` is different for each request of a run.
absl::StatusOr<RequestTimes> Send(const Target& target, const BenchOptions& options, int64_t number,
                                  int32_t output_tokens, const Cancelled& cancelled) {
  CompletionRequest request = {
      .model = target.model, .prompt = {}, .max_tokens = output_tokens, .cache_salt = target.cache_salt};
  std::seed_seq seeds = {options.seed, static_cast<uint64_t>(number)};
  std::mt19937_64 random(seeds);
  for (int32_t i = 0; i < options.prompt_tokens; ++i) {
    request.prompt.push_back(target.ids[random() % target.ids.size()]);
  }
  RequestTimes times = {.sent = absl::Now(), .prompt_tokens = options.prompt_tokens};
  const auto on_tokens = [&](int64_t tokens) {
    times.last_token = absl::Now();
    if (times.output_tokens == 0) times.first_token = times.last_token;
    times.output_tokens += tokens;
  };
  DR_ASSIGN_OR_RETURN(const DraftCounts drafts, StreamCompletion(target.url, request, on_tokens, cancelled));
  times.accepted_drafts = drafts.accepted;
  times.rejected_drafts = drafts.rejected;
  if (times.output_tokens != output_tokens) {
    return absl::InternalError(absl::StrCat("the server sent ", times.output_tokens, " tokens of ",
                                            output_tokens,
                                            "; does it know ignore_eos and return_token_ids?"));
  }
  return times;
}

}  // namespace

int Bench(const BenchOptions& options, const Url& url, const Cancelled& cancelled) {
  const absl::StatusOr<Target> target = Prepare(url, cancelled);
  if (!target.ok()) return Fail(target.status());
  // The first request is not measured: its caches are cold and its pages untouched.
  int64_t number = 0;
  if (const auto warm = Send(*target, options, number++, std::min(options.output_tokens, 2), cancelled);
      !warm.ok()) {
    return Fail(warm.status());
  }
  std::printf("%s, prompts of %d tokens, %d tokens generated for each\n\n%s", target->model.c_str(),
              options.prompt_tokens, options.output_tokens, BenchTableHead().c_str());
  std::fflush(stdout);
  int exit_code = 0;
  for (const int32_t concurrency : options.concurrency) {
    const int64_t requests =
        options.requests > 0 ? options.requests : std::max<int64_t>(kLeastRequests, 2 * concurrency);
    const int64_t first = number;
    number += requests;
    const LoadResult result = RunLoad(concurrency, requests, [&](int64_t request) {
      return Send(*target, options, first + request, options.output_tokens, cancelled);
    });
    int64_t failed = 0;
    for (const auto& [_, count] : result.failures) failed += count;
    const BenchRow row = {.concurrency = concurrency,
                          .succeeded = static_cast<int64_t>(result.succeeded.size()),
                          .failed = failed,
                          .summary = Summarise(result.succeeded)};
    if (cancelled()) break;  // a level that was cut short is not shown
    std::fputs(BenchTableRow(row).c_str(), stdout);
    std::fflush(stdout);
    for (const auto& [message, count] : result.failures) {
      std::fprintf(stderr, "deeprack: %lld of %lld requests failed: %s\n", static_cast<long long>(count),
                   static_cast<long long>(requests), message.c_str());
    }
    if (result.succeeded.empty()) exit_code = static_cast<int>(ExitCodeOf(result.first_error));
  }
  return exit_code;
}

}  // namespace deeprack::cli
