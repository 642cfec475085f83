#include "coordinator/dispatch/conversions.h"

namespace deeprack::coordinator {
namespace {

void SamplingToProto(const model::SamplingParams& sampling, cluster::SamplingParams* message) {
  message->set_temperature(sampling.temperature);
  message->set_top_k(sampling.top_k);
  message->set_top_p(sampling.top_p);
  message->set_min_p(sampling.min_p);
  message->set_presence_penalty(sampling.presence_penalty);
  message->set_frequency_penalty(sampling.frequency_penalty);
  message->set_repetition_penalty(sampling.repetition_penalty);
  message->set_seed(sampling.seed);
  message->set_top_logprobs(sampling.top_logprobs);
  for (const auto& [token, bias] : sampling.logit_bias) {
    cluster::TokenBias* out = message->add_logit_bias();
    out->set_token(token);
    out->set_bias(bias);
  }
}

model::TokenLogprob LogprobFromProto(const cluster::TokenLogprob& message) {
  return {message.token(), message.logprob()};
}

model::PositionLogprobs LogprobsFromProto(const cluster::PositionLogprobs& message) {
  model::PositionLogprobs logprobs{.chosen = LogprobFromProto(message.chosen())};
  logprobs.top.reserve(message.top_size());
  for (const cluster::TokenLogprob& likely : message.top()) logprobs.top.push_back(LogprobFromProto(likely));
  return logprobs;
}

// A place that this version does not know becomes kUnknown.
model::NonFiniteRow NonFiniteRowFromProto(const cluster::NonFiniteRow& message) {
  using Place = model::NonFiniteRow::Place;
  Place place = Place::kUnknown;
  for (const Place known : {Place::kKvEntry, Place::kHiddenState, Place::kHead}) {
    if (message.place() == static_cast<int32_t>(known)) place = known;
  }
  return {.position = message.position(), .token = message.token(), .place = place, .layer = message.layer()};
}

}  // namespace

void StepPlanToProto(const model::StepPlan& plan, cluster::StepPlan* message) {
  message->set_epoch(plan.epoch);
  message->set_step(plan.step);
  for (const model::SequencePlan& sequence : plan.sequences) {
    cluster::SequencePlan* out = message->add_sequences();
    out->set_sequence(sequence.sequence);
    out->set_dp_rank(sequence.dp_rank);
    out->set_prompt_size(sequence.prompt_size);
    out->set_num_computed(sequence.num_computed);
    out->mutable_token_ids()->Add(sequence.token_ids.begin(), sequence.token_ids.end());
    out->mutable_block_table()->Add(sequence.block_table.begin(), sequence.block_table.end());
    out->set_sample(sequence.sample);
    SamplingToProto(sequence.sampling, out->mutable_sampling());
    for (const model::TokenCount& count : sequence.token_counts) {
      cluster::TokenCount* counted = out->add_token_counts();
      counted->set_token(count.token);
      counted->set_in_prompt(count.in_prompt);
      counted->set_in_output(count.in_output);
    }
    out->set_prompt_logprobs(sequence.prompt_logprobs);
    out->set_next_prompt_token(sequence.next_prompt_token);
  }
}

model::StepResult StepResultFromProto(const cluster::StepResult& message) {
  model::StepResult result{
      .epoch = message.epoch(),
      .step = message.step(),
      .timings = {message.total_seconds(), message.collective_seconds()},
  };
  if (message.has_refusal()) {
    result.refusal = {.sequence = message.refusal().sequence(), .reason = message.refusal().reason()};
  }
  result.sequences.reserve(message.sequences_size());
  for (const cluster::SequenceResult& sequence : message.sequences()) {
    model::SequenceResult out{.sequence = sequence.sequence(),
                              .sampled = sequence.sampled(),
                              .token = sequence.token(),
                              .logprobs = LogprobsFromProto(sequence.logprobs())};
    out.prompt_logprobs.reserve(sequence.prompt_logprobs_size());
    for (const cluster::PositionLogprobs& position : sequence.prompt_logprobs()) {
      out.prompt_logprobs.push_back(LogprobsFromProto(position));
    }
    if (sequence.has_non_finite()) out.non_finite = NonFiniteRowFromProto(sequence.non_finite());
    result.sequences.push_back(std::move(out));
  }
  return result;
}

}  // namespace deeprack::coordinator
