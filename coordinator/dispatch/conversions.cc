#include "coordinator/dispatch/conversions.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

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

void ConstraintToProto(const model::Constraint& constraint, cluster::Constraint* message) {
  message->set_kind(static_cast<int32_t>(constraint.spec.kind));
  message->set_text(constraint.spec.text);
  message->set_prefix(constraint.prefix);
  message->set_start(static_cast<int32_t>(constraint.start));
  message->set_think_begin(constraint.think_begin);
  message->set_think_end(constraint.think_end);
  message->mutable_triggers()->Add(constraint.triggers.begin(), constraint.triggers.end());
  message->mutable_not_while_thinking()->Add(constraint.not_while_thinking.begin(),
                                             constraint.not_while_thinking.end());
}

void OpenedToProto(const model::OpenedSequence& opened, cluster::OpenedSequence* message) {
  message->set_slot(opened.slot);
  message->set_sequence(opened.sequence);
  message->set_prompt_size(opened.prompt_size);
  message->mutable_tokens()->Add(opened.tokens.begin(), opened.tokens.end());
  message->set_num_computed(opened.num_computed);
  SamplingToProto(opened.sampling, message->mutable_sampling());
  cluster::EndRule* end = message->mutable_end();
  end->mutable_stop_tokens()->Add(opened.end.stop_tokens.begin(), opened.end.stop_tokens.end());
  end->set_min_tokens(opened.end.min_tokens);
  end->set_max_size(opened.end.max_size);
  end->set_ignore_stops(opened.end.ignore_stops);
  message->set_prompt_logprobs(opened.prompt_logprobs);
  if (opened.constraint) ConstraintToProto(*opened.constraint, message->mutable_constraint());
}

void GroupToProto(const model::GroupPlan& group, cluster::GroupPlan* message) {
  message->mutable_closed()->Add(group.closed.begin(), group.closed.end());
  for (const model::OpenedSequence& opened : group.opened) OpenedToProto(opened, message->add_opened());
  for (const model::PageChange& change : group.pages) {
    cluster::PageChange* out = message->add_pages();
    out->set_slot(change.slot);
    out->set_first(change.first);
    out->mutable_pages()->Add(change.pages.begin(), change.pages.end());
  }
  message->mutable_slots()->Reserve(static_cast<int>(group.rows.size()));
  bool single = true, drafts = false, next_drafts = false;
  for (const model::SequenceRows& rows : group.rows) {
    message->mutable_slots()->AddAlreadyReserved(rows.slot);
    single &= rows.rows == 1;
    drafts |= rows.drafts != 0;
    next_drafts |= rows.next_drafts != 0;
  }
  const auto add = [&](google::protobuf::RepeatedField<int32_t>& field, int32_t model::SequenceRows::*value) {
    field.Reserve(static_cast<int>(group.rows.size()));
    for (const model::SequenceRows& rows : group.rows) field.AddAlreadyReserved(rows.*value);
  };
  if (!single) add(*message->mutable_rows(), &model::SequenceRows::rows);
  if (drafts) add(*message->mutable_drafts(), &model::SequenceRows::drafts);
  if (next_drafts) add(*message->mutable_next_drafts(), &model::SequenceRows::next_drafts);
}

// Where a part of a message has no place.
absl::Status Misplaced(const cluster::StepResult& message, const std::string& what) {
  return absl::InternalError(absl::StrCat("the result of step ", message.step(), " has ", what, ", and ",
                                          message.sequences_size(), " sequences"));
}

absl::Status TokensFromProto(const cluster::StepResult& message,
                             std::vector<model::SequenceResult>& sequences) {
  const bool single = message.token_counts_size() == 0;
  if (!single && message.token_counts_size() != message.sequences_size()) {
    return Misplaced(message, absl::StrCat(message.token_counts_size(), " numbers of tokens"));
  }
  int64_t next = 0;
  for (int i = 0; i < message.sequences_size(); ++i) {
    const int64_t count = single ? 1 : message.token_counts(i);
    if (count < 0 || count > message.tokens_size() - next) {
      return Misplaced(message, absl::StrCat(message.tokens_size(), " tokens, of which sequence ", i,
                                             " would have ", count));
    }
    sequences[i].sequence = message.sequences(i);
    const auto first = message.tokens().begin() + next;
    sequences[i].tokens.assign(first, first + count);
    next += count;
  }
  if (next == message.tokens_size()) return absl::OkStatus();
  return Misplaced(message, absl::StrCat(message.tokens_size(), " tokens, of which ", next, " have a place"));
}

}  // namespace

std::shared_ptr<const std::string> EncodeStep(const model::StepPlan& plan, int32_t group) {
  cluster::StepPlan message;
  message.set_epoch(plan.header.epoch);
  message.set_step(plan.header.step);
  message.mutable_rows_of_group()->Add(plan.header.rows_of_group.begin(), plan.header.rows_of_group.end());
  message.set_decodes_only(plan.header.decodes_only);
  for (const std::vector<int32_t>& groups : plan.header.drafting)
    message.mutable_drafting()->Add(groups.begin(), groups.end());
  GroupToProto(plan.groups[group], message.mutable_group());
  return std::make_shared<const std::string>(message.SerializeAsString());
}

absl::StatusOr<model::RankResult> RankResultFromProto(const cluster::StepResult& message) {
  model::RankResult result{.epoch = message.epoch(),
                           .step = message.step(),
                           .sequences = std::vector<model::SequenceResult>(message.sequences_size()),
                           .timings = {message.total_seconds(), message.collective_seconds()}};
  DR_RETURN_IF_ERROR(TokensFromProto(message, result.sequences));
  for (const cluster::SequenceDetail& detail : message.details()) {
    if (detail.index() < 0 || detail.index() >= message.sequences_size()) {
      return Misplaced(message, absl::StrCat("details of sequence ", detail.index()));
    }
    model::SequenceResult& out = result.sequences[detail.index()];
    for (const auto& position : detail.logprobs()) out.logprobs.push_back(LogprobsFromProto(position));
    for (const auto& position : detail.prompt_logprobs()) {
      out.prompt_logprobs.push_back(LogprobsFromProto(position));
    }
    if (detail.has_non_finite()) out.non_finite = NonFiniteRowFromProto(detail.non_finite());
    out.refused = detail.refused();
  }
  return result;
}

}  // namespace deeprack::coordinator
