#include "cli/load/load_flags.h"

#include <CLI/CLI.hpp>

#include "cli/load/load_command.h"
#include "cli/serve/given_settings.h"
#include "cli/terminal/fail.h"

namespace deeprack::cli {

void LoadFlags::AddTo(CLI::App& command) {
  AddSettingFlags(command, Program::kServe, serve_);
  const auto add = [&command](const char* flag, auto& value, const char* help) {
    return command.add_option(flag, value, help);
  };
  add("--url", options_.url, "Measure the server at this URL instead of starting one.");
  add("--model-name", options_.model,
      "The model to ask for. Without it: the first model that the server names.");
  add("--api", options_.api, "chat or completions: what is asked.")->capture_default_str();
  add("--concurrency", options_.concurrency,
      "Closed loop: numbers of sessions at once, measured one after the other.\nWithout --rate and "
      "--trace: 1,4,16.")
      ->delimiter(',');
  add("--rate", options_.rate, "Open loop: requests a second, measured one after the other.")->delimiter(',');
  add("--burstiness", options_.burstiness,
      "With --rate: the shape of the gamma-distributed gaps between arrivals. 1: a\n"
      "Poisson process; below 1: bursts. Default: 1.");
  add("--requests", options_.requests,
      "Requests of each level. Without it: 4 for each session and turn, at least 16;\n"
      "half a minute of --rate, at least 20; all of --trace.");
  add("--warmup", options_.warmup,
      "Requests before each level that are not measured. Without it: one for each\nsession at once, at "
      "most 16; "
      "4 in an open loop.");
  add("--workload", options_.workload, "chat, long-prompt, shared-prefix or agent. Without it: chat.");
  add("--input-tokens", options_.input_tokens, "Tokens that a request adds to the prompt, on average.");
  add("--output-tokens", options_.output_tokens, "Tokens of an answer, on average.");
  add("--spread", options_.spread,
      "Lengths are drawn evenly from mean x (1 - spread) to mean x (1 + spread).");
  add("--prefix-tokens", options_.prefix_tokens,
      "Tokens of the shared system prompt (shared-prefix, agent).");
  add("--prefixes", options_.prefixes, "How many different system prompts there are.");
  add("--turns", options_.turns, "Turns of a session (agent).");
  add("--think-time", options_.think_seconds,
      "Seconds between an answer and the next turn, on average (agent).");
  add("--trace", options_.trace, "Send what this file says: JSON lines as Mooncake's, or BurstGPT's CSV.");
  add("--trace-block", options_.trace_block, "Tokens of a block of the trace's hash_ids. Default: 512.");
  add("--time-scale", options_.time_scale,
      "Multiply the trace's times, one level for each. 0.5 doubles the load.\nDefault: 1.")
      ->delimiter(',');
  add("--goodput", options_.goodput,
      "Objectives in milliseconds, such as ttft:500,tpot:50,e2e:10000: requests that\nkeep all of them "
      "count.");
  add("--seed", options_.seed, "The seed of texts, lengths and arrivals.")->capture_default_str();
  add("--timeout", options_.timeout_seconds, "Seconds after which a request has failed.")
      ->capture_default_str();
  add("--client-threads", options_.threads,
      "Network threads of the client. 0: half of the processors, at most 4.")
      ->capture_default_str();
  add("--json", options_.json, "Write all figures to this file.");
  add("--html", options_.html, "Write a page of plots to this file.");
}

int LoadFlags::Run() {
  auto test = CheckLoadOptions(options_);
  if (!test.ok()) return FailByFlags(test.status());
  if (const absl::Status status = CheckGivenServer(options_.url, serve_); !status.ok())
    return FailByFlags(status);
  if (const absl::Status status = ReadLoadFiles(options_, *test); !status.ok()) return Fail(status);
  const ServerWork work = [&](const Url& url, const Cancelled& cancelled) {
    return Load(options_, *test, url, cancelled);
  };
  return WithGivenServer(options_.url, serve_, work);
}

}  // namespace deeprack::cli
