#include "cli/bench/bench_flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cli/serve/given_settings.h"
#include "cli/terminal/fail.h"

namespace deeprack::cli {

void BenchFlags::AddTo(CLI::App& command) {
  AddSettingFlags(command, Program::kServe, serve_);
  command.add_option("--url", options_.url, "Measure the server at this URL instead of starting one.");
  command
      .add_option("--concurrency", options_.concurrency,
                  "Numbers of streams at once, measured one after the other.")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command.add_option("--prompt-tokens", options_.prompt_tokens, "Tokens of each prompt.")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command.add_option("--output-tokens", options_.output_tokens, "Tokens that are generated for each prompt.")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command
      .add_option("--requests", options_.requests,
                  "Requests of each level. Without it: twice the level's streams, but at least 4.")
      ->check(CLI::Range(1, 1 << 20));
  command.add_option("--seed", options_.seed, "The seed of the random prompts.")->capture_default_str();
}

int BenchFlags::Run() {
  const int32_t most = *std::max_element(options_.concurrency.begin(), options_.concurrency.end());
  if (options_.requests > 0 && options_.requests < most) {
    return FailUsage(absl::StrCat("--requests ", options_.requests, " cannot keep the ", most,
                                  " streams of --concurrency busy; ask for ", most, " at least"));
  }
  if (const absl::Status status = CheckGivenServer(options_.url, serve_); !status.ok())
    return FailByFlags(status);
  const ServerWork work = [this](const Url& url, const Cancelled& cancelled) {
    return Bench(options_, url, cancelled);
  };
  return WithGivenServer(options_.url, serve_, work);
}

}  // namespace deeprack::cli
