#include "worker/rpc/conversions.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/checked.h"
#include "base/status_macros.h"
#include "model/config/kv_cache_type.h"
#include "model/files/load_format.h"
#include "model/step/speculation.h"

namespace deeprack::worker {
namespace {

model::SamplingParams SamplingFromProto(const cluster::SamplingParams& message) {
  model::SamplingParams sampling{
      .temperature = message.temperature(),
      .top_k = message.top_k(),
      .top_p = message.top_p(),
      .min_p = message.min_p(),
      .presence_penalty = message.presence_penalty(),
      .frequency_penalty = message.frequency_penalty(),
      .repetition_penalty = message.repetition_penalty(),
      .seed = message.seed(),
      .top_logprobs = message.top_logprobs(),
  };
  sampling.logit_bias.reserve(message.logit_bias_size());
  for (const cluster::TokenBias& bias : message.logit_bias()) {
    sampling.logit_bias.emplace_back(bias.token(), bias.bias());
  }
  return sampling;
}

// A kind or a start that this version does not know is refused when the sequence is opened (StateMaker).
model::Constraint ConstraintFromProto(const cluster::Constraint& message) {
  return {.spec = {static_cast<model::ConstraintKind>(message.kind()), message.text()},
          .prefix = message.prefix(),
          .start = static_cast<model::OutputStart>(message.start()),
          .think_begin = message.think_begin(),
          .think_end = message.think_end(),
          .triggers = {message.triggers().begin(), message.triggers().end()},
          .not_while_thinking = {message.not_while_thinking().begin(), message.not_while_thinking().end()}};
}

model::OpenedSequence OpenedFromProto(const cluster::OpenedSequence& message) {
  return {
      .slot = message.slot(),
      .sequence = message.sequence(),
      .prompt_size = message.prompt_size(),
      .tokens = {message.tokens().begin(), message.tokens().end()},
      .num_computed = message.num_computed(),
      .sampling = SamplingFromProto(message.sampling()),
      .end = {.stop_tokens = {message.end().stop_tokens().begin(), message.end().stop_tokens().end()},
              .ignore_stops = message.end().ignore_stops(),
              .min_tokens = message.end().min_tokens(),
              .max_size = message.end().max_size()},
      .prompt_logprobs = message.prompt_logprobs(),
      .constraint =
          message.has_constraint() ? std::optional(ConstraintFromProto(message.constraint())) : std::nullopt,
  };
}

void LogprobToProto(const model::TokenLogprob& logprob, cluster::TokenLogprob* message) {
  message->set_token(logprob.token);
  message->set_logprob(logprob.logprob);
}

void LogprobsToProto(const model::PositionLogprobs& logprobs, cluster::PositionLogprobs* message) {
  LogprobToProto(logprobs.chosen, message->mutable_chosen());
  for (const model::TokenLogprob& likely : logprobs.top) LogprobToProto(likely, message->add_top());
}

// What the sequence has apart from tokens.
void DetailToProto(const model::SequenceResult& sequence, size_t index, cluster::StepResult* message) {
  if (sequence.logprobs.empty() && sequence.prompt_logprobs.empty() && !sequence.non_finite &&
      sequence.refused.empty())
    return;
  cluster::SequenceDetail* out = message->add_details();
  out->set_index(static_cast<int32_t>(index));
  for (const model::PositionLogprobs& position : sequence.logprobs)
    LogprobsToProto(position, out->add_logprobs());
  for (const model::PositionLogprobs& position : sequence.prompt_logprobs)
    LogprobsToProto(position, out->add_prompt_logprobs());
  out->set_refused(sequence.refused);
  if (!sequence.non_finite) return;
  cluster::NonFiniteRow* row = out->mutable_non_finite();
  row->set_position(sequence.non_finite->position);
  row->set_token(sequence.non_finite->token);
  row->set_place(static_cast<int32_t>(sequence.non_finite->place));
  row->set_layer(sequence.non_finite->layer);
}

}  // namespace

absl::StatusOr<EngineOptions> EngineOptionsFromProto(const cluster::LoadRequest& request,
                                                     constraint::VocabularyKeeper& vocabularies) {
  EngineOptions options;
  options.model_path = request.model_path();
  options.layout = {request.layout().tp(), request.layout().dp(), request.layout().ep(),
                    request.layout().pp()};
  options.rank = request.rank();
  options.epoch = request.epoch();
  options.kv_bytes = request.kv_bytes();
  options.max_step_tokens = request.max_step_tokens();
  options.max_sequences = request.max_sequences();
  options.max_context = request.max_context();
  options.threads = request.threads();
  options.speculative_tokens = request.speculative_tokens();

  if (request.compute() == "bf16") {
    options.compute = DType::kBF16;
  } else if (request.compute() == "f32") {
    options.compute = DType::kF32;
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("compute type '", request.compute(), "': use bf16 or f32"));
  }
  DR_ASSIGN_OR_RETURN(options.load_format, model::LoadFormatOf(request.load_format()));
  DR_ASSIGN_OR_RETURN(options.kv_cache, model::KvCacheTypeOf(request.kv_cache_type(), options.compute));
  if (request.expert_exchange() == "replicated") {
    options.expert_exchange = model::ExpertExchange::kReplicated;
  } else if (request.expert_exchange() == "all_to_all") {
    options.expert_exchange = model::ExpertExchange::kAllToAll;
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("expert exchange '", request.expert_exchange(), "': use replicated or all_to_all"));
  }
  if (request.prefill_attention() == "absorbed") {
    options.prefill_attention = model::PrefillAttention::kAbsorbed;
  } else if (request.prefill_attention() == "expanded") {
    options.prefill_attention = model::PrefillAttention::kExpanded;
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("prefill attention '", request.prefill_attention(), "': use absorbed or expanded"));
  }

  const model::Layout& layout = options.layout;
  constexpr int64_t kMostRanks = 1 << 16;
  const int64_t axes[] = {layout.tp, layout.dp, layout.pp};
  const auto ranks = CheckedProduct(axes);
  if (layout.tp < 1 || layout.dp < 1 || layout.pp < 1 || layout.ep < 1 || !ranks || *ranks > kMostRanks) {
    return absl::InvalidArgumentError(
        absl::StrCat("layout ", ToString(layout), ": each of tp, dp, ep and pp is at least 1"));
  }
  if (options.rank < 0 || options.rank >= *ranks) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", options.rank, " is not one of the ", *ranks, " of layout ", ToString(layout)));
  }
  if (options.kv_bytes < 0 || options.max_step_tokens < 1 || options.max_sequences < 1 ||
      options.max_context < 0 || options.threads < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "limits: kv_bytes ", options.kv_bytes, ", max_step_tokens ", options.max_step_tokens,
        ", max_sequences ", options.max_sequences, ", max_context ", options.max_context, ", threads ",
        options.threads, "; none may be negative, and a step holds at least one token and one sequence"));
  }
  if (options.speculative_tokens < 0 || options.speculative_tokens > model::kMostSpeculativeTokens) {
    return absl::InvalidArgumentError(absl::StrCat("speculative_tokens ", options.speculative_tokens,
                                                   ": 0 to ", model::kMostSpeculativeTokens,
                                                   " are possible"));
  }
  if (request.token_texts_size() > 0) {
    DR_ASSIGN_OR_RETURN(
        options.vocabulary,
        vocabularies.Make({request.token_texts().begin(), request.token_texts().end()}, request.vocab_size(),
                          {request.end_tokens().begin(), request.end_tokens().end()}));
  }
  return options;
}

Meeting MeetingFromProto(const cluster::LoadRequest& request) {
  return {.nccl_world = request.nccl_world(),
          .gloo_world = {request.gloo_world().begin(), request.gloo_world().end()}};
}

void MachineReportToProto(const MachineReport& report, cluster::MachineReport* message) {
  message->set_machine(report.machine);
  message->set_numa_nodes(report.numa_nodes);
  message->set_cores(report.cores);
  message->set_available_bytes(report.available_bytes);
  message->set_card(report.card);
  for (const CardReport& card : report.cards) {
    cluster::CardReport* out = message->add_cards();
    out->set_name(card.name);
    out->set_uuid(card.uuid);
    out->set_memory_bytes(card.memory_bytes);
    out->set_free_bytes(card.free_bytes);
    out->set_numa_node(card.numa_node);
    out->set_link_group(card.link_group);
  }
  for (const std::string& address : report.addresses) message->add_addresses(address);
}

absl::StatusOr<model::RankStep> RankStepFromProto(const cluster::StepPlan& message) {
  const cluster::GroupPlan& plan = message.group();
  for (const auto& [numbers, of] :
       {std::pair(plan.rows_size(), "rows"), std::pair(plan.drafts_size(), "drafts"),
        std::pair(plan.next_drafts_size(), "next drafts")}) {
    if (numbers == 0 || numbers == plan.slots_size()) continue;
    return absl::InvalidArgumentError(absl::StrCat("step ", message.step(), " has ", numbers, " numbers of ",
                                                   of, " for ", plan.slots_size(), " slots"));
  }
  const int groups = message.rows_of_group_size();
  if (message.drafting_size() > 0 && (groups == 0 || message.drafting_size() % groups != 0)) {
    return absl::InvalidArgumentError(absl::StrCat("step ", message.step(), " has ", message.drafting_size(),
                                                   " numbers of drafting sequences for ", groups,
                                                   " dp groups"));
  }
  model::RankStep step{
      .header = {.epoch = message.epoch(),
                 .step = message.step(),
                 .rows_of_group = {message.rows_of_group().begin(), message.rows_of_group().end()},
                 .decodes_only = message.decodes_only(),
                 .drafting = {}},
      .group = {
          .closed = {plan.closed().begin(), plan.closed().end()}, .opened = {}, .pages = {}, .rows = {}}};
  step.group.opened.reserve(static_cast<size_t>(plan.opened_size()));
  for (const cluster::OpenedSequence& opened : plan.opened())
    step.group.opened.push_back(OpenedFromProto(opened));
  step.group.pages.reserve(static_cast<size_t>(plan.pages_size()));
  for (const cluster::PageChange& change : plan.pages()) {
    step.group.pages.push_back({.slot = change.slot(),
                                .first = change.first(),
                                .pages = {change.pages().begin(), change.pages().end()}});
  }
  step.group.rows.reserve(static_cast<size_t>(plan.slots_size()));
  for (int i = 0; i < plan.slots_size(); ++i) {
    step.group.rows.push_back({.slot = plan.slots(i),
                               .rows = plan.rows_size() > 0 ? plan.rows(i) : 1,
                               .drafts = plan.drafts_size() > 0 ? plan.drafts(i) : 0,
                               .next_drafts = plan.next_drafts_size() > 0 ? plan.next_drafts(i) : 0});
  }
  for (auto first = message.drafting().begin(); first != message.drafting().end(); first += groups)
    step.header.drafting.emplace_back(first, first + groups);
  return step;
}

void RankResultToProto(const model::RankResult& result, cluster::StepResult* message) {
  message->set_epoch(result.epoch);
  message->set_step(result.step);
  message->set_total_seconds(result.timings.total_seconds);
  message->set_collective_seconds(result.timings.collective_seconds);
  const bool one_each =
      std::all_of(result.sequences.begin(), result.sequences.end(),
                  [](const model::SequenceResult& sequence) { return sequence.tokens.size() == 1; });
  for (size_t i = 0; i < result.sequences.size(); ++i) {
    const model::SequenceResult& sequence = result.sequences[i];
    message->add_sequences(sequence.sequence);
    if (!one_each) message->add_token_counts(static_cast<int32_t>(sequence.tokens.size()));
    for (const TokenId token : sequence.tokens) message->add_tokens(token);
    DetailToProto(sequence, i, message);
  }
}

}  // namespace deeprack::worker
