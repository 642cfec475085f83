// Fuzzes the StepResults of two untrusted ranks. They are joined and applied: they give an error that changes
// nothing, or the events of the plan. The first two bytes are the size of the first message.
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "coordinator/dispatch/conversions.h"
#include "coordinator/dispatch/join_step_results.h"
#include "coordinator/dispatch/load_watch.h"
#include "coordinator/scheduler/scheduler.h"
#include "proto/cluster.pb.h"

namespace {

using namespace deeprack;
using namespace deeprack::coordinator;

constexpr int32_t kVocabulary = 300;

// A step of two dp groups with three sequences: a prompt with log-probabilities, a sequence that decodes with
// penalties, and a sequence that is cancelled within the step.
class Step {
 public:
  Step()
      : scheduler_(
            {.max_step_tokens = 64, .max_sequences = 4, .max_context = 400, .dp = 2, .blocks_per_dp_rank = 8},
            /*epoch=*/1) {
    Request decodes = Prompt(5);
    decodes.sampling.frequency_penalty = 0.5f;
    decodes.sampling.top_logprobs = 2;
    decodes.stop_token_ids = {7};
    DR_CHECK(scheduler_.Add(1, decodes).ok());
    DR_CHECK(scheduler_.Add(3, Prompt(6)).ok());
    const model::StepPlan first = *scheduler_.Plan();
    model::StepResult answer{.epoch = first.epoch, .step = first.step};
    for (const model::SequencePlan& sequence : first.sequences) {
      answer.sequences.push_back({.sequence = sequence.sequence, .sampled = true, .token = 11});
    }
    DR_CHECK(scheduler_.Apply(answer).ok());
    Request prompt = Prompt(90);
    prompt.prompt_logprobs = 1;
    DR_CHECK(scheduler_.Add(4, prompt).ok());
    plan_ = *scheduler_.Plan();
    DR_CHECK(plan_.sequences.size() == 3);
    DR_CHECK(!scheduler_.Cancel(3).has_value());
  }

  // Applies the result. After an error the step must still be under way.
  void Take(model::StepResult joined) {
    const absl::StatusOr<std::vector<TokenEvent>> events = scheduler_.Apply(joined);
    if (!events.ok()) {
      DR_CHECK(absl::IsInternal(events.status()) && scheduler_.step_under_way());
      return;
    }
    for (const TokenEvent& event : *events) {
      if (event.has_token) DR_CHECK(event.token >= 0 && event.token < kVocabulary);
      for (const model::PositionLogprobs& position : event.prompt_logprobs) {
        DR_CHECK(position.chosen.token >= 0 && position.chosen.token < kVocabulary);
      }
    }
    // The next plan contains the tokens of the ranks' results.
    if (const auto next = scheduler_.Plan()) {
      for (const model::SequencePlan& sequence : next->sequences) {
        for (const TokenId token : sequence.token_ids) DR_CHECK(token >= 0 && token < kVocabulary);
        for (const model::TokenCount& count : sequence.token_counts) {
          DR_CHECK(count.token >= 0 && count.token < kVocabulary);
        }
      }
    }
  }

  const model::StepPlan& plan() const { return plan_; }

 private:
  static Request Prompt(int32_t size) {
    Request request;
    for (int32_t i = 0; i < size; ++i) request.prompt.push_back(i % kVocabulary);
    request.max_tokens = 20;
    return request;
  }

  Scheduler scheduler_;
  model::StepPlan plan_;
};

// Takes the same bytes as a report of a load.
void TakeAsProgress(const uint8_t* data, size_t size) {
  cluster::LoadProgress message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return;
  LoadWatch watch(2, absl::Seconds(1), absl::UnixEpoch());
  watch.Report(1, {message.bytes_done(), message.bytes_total()}, absl::UnixEpoch());
  watch.Report(0, {message.bytes_done(), message.bytes_total()}, absl::UnixEpoch());
  watch.sum();
  DR_CHECK(watch.Stalled(absl::UnixEpoch() + absl::Milliseconds(400)).empty());
  DR_CHECK(!watch.Describe(1).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  TakeAsProgress(data, size);
  if (size < 2) return 0;
  const size_t first = std::min<size_t>(data[0] | data[1] << 8, size - 2);
  cluster::StepResult messages[2];
  if (!messages[0].ParseFromArray(data + 2, static_cast<int>(first)) ||
      !messages[1].ParseFromArray(data + 2 + first, static_cast<int>(size - 2 - first))) {
    return 0;
  }
  Step step;
  const absl::StatusOr<model::StepResult> joined = JoinStepResults(
      step.plan(), {StepResultFromProto(messages[0]), StepResultFromProto(messages[1])}, kVocabulary);
  if (!joined.ok()) {
    DR_CHECK(absl::IsInternal(joined.status()) && !joined.status().message().empty());
    return 0;
  }
  DR_CHECK(joined->sequences.size() == step.plan().sequences.size());
  step.Take(*joined);
  return 0;
}
