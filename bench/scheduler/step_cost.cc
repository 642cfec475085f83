// What a step of a rack costs the coordinator before and after the ranks compute: planning, encoding for all
// groups, applying the result. Prints medians, and the bytes that a rank is sent. No ranks, no network.
//
//   step_cost --sequences 4096 --dp 32 --context 8192
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "coordinator/dispatch/conversions.h"
#include "coordinator/scheduler/scheduler.h"

namespace {

using namespace deeprack;  // a program

struct Options {
  int32_t sequences = 4096;
  int32_t dp = 32;
  int32_t context = 8192;
  int32_t steps = 200;
};

double MillisecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Every sequence that draws gets the token 7. `ids[group][slot]` is the sequence in a slot.
model::StepResult Answer(const model::StepPlan& plan, std::vector<std::vector<SequenceId>>& ids,
                         std::vector<std::vector<int32_t>>& left) {
  model::StepResult result{.epoch = plan.header.epoch, .step = plan.header.step};
  for (size_t group = 0; group < plan.groups.size(); ++group) {
    for (const model::OpenedSequence& opened : plan.groups[group].opened) {
      const auto slot = static_cast<size_t>(opened.slot);
      if (ids[group].size() <= slot) {
        ids[group].resize(slot + 1);
        left[group].resize(slot + 1);
      }
      ids[group][slot] = opened.sequence;
      left[group][slot] = static_cast<int32_t>(opened.tokens.size()) - opened.num_computed;
    }
    std::vector<model::SequenceResult>& out = result.groups.emplace_back();
    for (const model::SequenceRows& rows : plan.groups[group].rows) {
      int32_t& prompt = left[group][static_cast<size_t>(rows.slot)];
      prompt -= rows.rows;
      model::SequenceResult& answer = out.emplace_back();
      answer.sequence = ids[group][static_cast<size_t>(rows.slot)];
      if (prompt <= 0) answer.tokens = {7};
    }
  }
  return result;
}

int Run(const Options& options) {
  using namespace coordinator;
  const int32_t per_group = (options.sequences + options.dp - 1) / options.dp;
  const int32_t pages = BlocksFor(options.context + 2 * options.steps + 2) * per_group;
  const int32_t step_tokens = std::max(per_group, 1 << 16);
  // Decodes do not limit prompts here, so that all prompts are computed before the first sequence ends.
  Scheduler scheduler({.max_step_tokens = step_tokens,
                       .prefill_tokens_beside_decodes = step_tokens,
                       .max_sequences = per_group,
                       .max_context = options.context + 2 * options.steps,
                       .dp = options.dp,
                       .blocks_per_dp_rank = pages},
                      1);
  for (int32_t i = 0; i < options.sequences; ++i) {
    Request request;
    request.prompt.assign(options.context, i % 100'000);  // no prompt is a prefix of another one
    request.max_tokens = 2 * options.steps;
    if (const absl::Status added = scheduler.Add(i + 1, std::move(request)); !added.ok()) {
      std::fprintf(stderr, "%s\n", added.ToString().c_str());
      return 1;
    }
  }
  std::vector<std::vector<SequenceId>> ids(options.dp);
  std::vector<std::vector<int32_t>> left(options.dp);
  std::vector<double> plan_ms, encode_ms, apply_ms, both_ms, bytes;
  while (std::ssize(plan_ms) < options.steps) {
    const auto begin = std::chrono::steady_clock::now();
    const std::optional<model::StepPlan> plan = scheduler.Plan();
    const double planned = MillisecondsSince(begin);
    if (!plan.has_value()) {
      std::fprintf(stderr, "nothing to plan\n");
      return 1;
    }
    const auto encode = std::chrono::steady_clock::now();
    size_t largest = 0;
    for (int32_t group = 0; group < options.dp; ++group) {
      largest = std::max(largest, EncodeStep(*plan, group)->size());
    }
    const double encoded = MillisecondsSince(encode);
    const model::StepResult result = Answer(*plan, ids, left);
    const auto apply = std::chrono::steady_clock::now();
    if (const auto events = scheduler.Apply(result); !events.ok()) {
      std::fprintf(stderr, "%s\n", events.status().ToString().c_str());
      return 1;
    }
    const double applied = MillisecondsSince(apply);
    if (!plan->header.decodes_only) continue;  // the prompts are still computed
    int64_t rows = 0;
    for (const int32_t of_group : plan->header.rows_of_group) rows += of_group;
    if (rows < options.sequences) continue;
    plan_ms.push_back(planned);
    encode_ms.push_back(encoded);
    both_ms.push_back(planned + encoded);
    apply_ms.push_back(applied);
    bytes.push_back(static_cast<double>(largest));
  }
  std::printf("%d sequences of %d tokens, dp %d; medians of %d decode steps\n", options.sequences,
              options.context, options.dp, options.steps);
  std::printf("  plan                      %8.3f ms\n", Median(plan_ms));
  std::printf("  encode for all groups     %8.3f ms\n", Median(encode_ms));
  std::printf("  plan and encode           %8.3f ms\n", Median(both_ms));
  std::printf("  apply                     %8.3f ms\n", Median(apply_ms));
  std::printf("  bytes to each rank        %8.0f (most in a step %.0f)\n", Median(bytes),
              *std::max_element(bytes.begin(), bytes.end()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("What a step of a rack costs the coordinator.");
  app.add_option("--sequences", options.sequences)->check(CLI::Range(1, 1 << 20));
  app.add_option("--dp", options.dp)->check(CLI::Range(1, 1 << 12));
  app.add_option("--context", options.context, "tokens of each prompt")->check(CLI::Range(1, 1 << 20));
  app.add_option("--steps", options.steps, "decode steps that are timed")->check(CLI::Range(1, 10'000));
  CLI11_PARSE(app, argc, argv);
  return Run(options);
}
