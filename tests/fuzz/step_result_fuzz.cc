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

constexpr model::Layout kLayout = {.tp = 1, .dp = 2, .ep = 1, .pp = 1};

// A step of two dp groups with three sequences: a sequence that decodes with penalties, a sequence that is
// cancelled within the step, and a prompt with log-probabilities. A second step is under way behind it.
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
    model::StepResult answer{.epoch = 1, .step = first.header.step};
    for (const SequenceId id : {1, 3}) {
      model::SequenceResult& result = answer.groups.emplace_back().emplace_back();
      result = {.sequence = id, .tokens = {11}};
      if (id == 1) result.logprobs = {{.chosen = {11, -1.0f}}};
    }
    DR_CHECK(scheduler_.Apply(answer).ok());
    Request prompt = Prompt(90);
    prompt.prompt_logprobs = 1;
    DR_CHECK(scheduler_.Add(4, prompt).ok());
    header_ = scheduler_.Plan()->header;
    DR_CHECK(scheduler_.Plan().has_value());
    DR_CHECK(scheduler_.Cancel(3).has_value());
  }

  // Applies the result. After an error the step must still be under way.
  void Take(const model::StepResult& joined) {
    const absl::StatusOr<std::vector<TokenEvent>> events = scheduler_.Apply(joined);
    if (!events.ok()) {
      DR_CHECK(absl::IsInternal(events.status()) && scheduler_.steps_under_way() == 2);
      return;
    }
    DR_CHECK(scheduler_.steps_under_way() == 1);
    for (const TokenEvent& event : *events) {
      DR_CHECK(event.sequence != 3);  // it had its last event
      if (event.has_token) DR_CHECK(event.token >= 0 && event.token < kVocabulary);
      for (const model::PositionLogprobs& position : event.prompt_logprobs) {
        DR_CHECK(position.chosen.token >= 0 && position.chosen.token < kVocabulary);
      }
    }
    // A replay has the tokens of the ranks' results.
    (void)scheduler_.Interrupt(absl::UnavailableError("the ranks are gone"));
    (void)scheduler_.Resume(2, 8, 2);
    const auto next = scheduler_.Plan();
    for (size_t group = 0; next && group < next->groups.size(); ++group) {
      for (const model::OpenedSequence& opened : next->groups[group].opened) {
        for (const TokenId token : opened.tokens) DR_CHECK(token >= 0 && token < kVocabulary);
      }
    }
  }

  const model::StepHeader& header() const { return header_; }

 private:
  static Request Prompt(int32_t size) {
    Request request;
    for (int32_t i = 0; i < size; ++i) request.prompt.push_back(i % kVocabulary);
    request.max_tokens = 20;
    return request;
  }

  Scheduler scheduler_;
  model::StepHeader header_;
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
  const auto of_rank = [](const cluster::StepResult& message) {
    absl::StatusOr<model::RankResult> result = RankResultFromProto(message);
    DR_CHECK(result.ok() || absl::IsInternal(result.status()));
    return result;
  };
  const auto rank0 = of_rank(messages[0]), rank1 = of_rank(messages[1]);
  if (!rank0.ok() || !rank1.ok()) return 0;
  Step step;
  const absl::StatusOr<model::StepResult> joined =
      JoinStepResults(step.header(), {*rank0, *rank1}, kLayout, kVocabulary);
  if (!joined.ok()) {
    DR_CHECK(absl::IsInternal(joined.status()) && !joined.status().message().empty());
    return 0;
  }
  DR_CHECK(joined->groups.size() == 2);
  step.Take(*joined);
  return 0;
}
