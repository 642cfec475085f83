#include "coordinator/api/generation.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/access/credentials.h"

namespace deeprack::coordinator {
namespace {

// The error of an accepted sequence. The client is not at fault, whatever the status's code is.
ApiError FromServing(const TokenEvent& event) {
  const absl::Status& status = event.error;
  if (status.ok()) return FromStatus(absl::CancelledError("the sequence was cancelled"));
  if (absl::IsUnavailable(status) || absl::IsCancelled(status)) return FromStatus(status);
  ApiError error = FromStatus(absl::InternalError(status.message()));
  if (event.non_finite) error.code = "non_finite_logits";
  return error;
}

// The tokens that the step has generated.
std::span<const TokenId> TokensOf(const TokenEvent& event) {
  return {&event.token, event.has_token ? size_t{1} : size_t{0}};
}

// A tokenizer may have more tokens than the model's embedding has rows: fine-tunes add tokens to the file.
std::optional<ApiError> CheckTokenIds(const GenerationRequest& request, const ServedModel& model) {
  for (size_t p = 0; p < request.prompts.size(); ++p) {
    const std::vector<TokenId>& prompt = request.prompts[p];
    const auto bad = std::find_if(prompt.begin(), prompt.end(),
                                  [&](TokenId id) { return id < 0 || id >= model.vocab_size; });
    if (bad == prompt.end()) continue;
    return BadRequest(
        "invalid_token_id", "",
        absl::StrCat("token ", bad - prompt.begin(), " of ",
                     request.prompts.size() > 1 ? absl::StrCat("prompt ", p) : "the prompt", " is '",
                     model.tokenizer->Decode({&*bad, 1}, /*show_special=*/true), "' with id ", *bad,
                     "; the model has ids 0 to ", model.vocab_size - 1,
                     ". Its tokenizer has tokens that the model was not made for: leave this token out"));
  }
  return std::nullopt;
}

}  // namespace

std::optional<ApiError> Generation::Start(ApiContext* context, GenerationRequest request,
                                          std::shared_ptr<HttpExchange> exchange,
                                          std::unique_ptr<GenerationListener> listener) {
  if (std::optional<ApiError> error = CheckTokenIds(request, context->model())) return error;
  StepLoop* loop = context->loop();
  if (loop == nullptr) {
    return FromStatus(
        absl::UnavailableError(absl::StrCat("not ready: ", context->readiness().snapshot().message)));
  }
  const std::shared_ptr<Generation> generation(
      new Generation(context, loop, std::move(request), std::move(exchange), std::move(listener)));
  return generation->Submit();
}

Generation::Generation(ApiContext* context, StepLoop* loop, GenerationRequest request,
                       std::shared_ptr<HttpExchange> exchange, std::unique_ptr<GenerationListener> listener)
    : context_(context),
      loop_(loop),
      request_(std::move(request)),
      exchange_(std::move(exchange)),
      listener_(std::move(listener)),
      events_(context->event_limits()),
      arrival_(context->clock().Now()) {}

std::optional<ApiError> Generation::Submit() {
  context_->metrics().ObserveIgnoredFields(request_.ignored_fields);
  const uint64_t base_seed = request_.seed ? static_cast<uint64_t>(*request_.seed) : context_->Random();
  const auto self = shared_from_this();
  exchange_->OnWake([self] { self->TakeEvents(); });
  for (int32_t index = 0; index < request_.choices(); ++index) {
    Request request = request_.request;
    request.prompt = request_.prompts[index / request_.n];
    request.cache_salt = CacheSalt(request_.caller, request.cache_salt);
    request.sampling.seed = base_seed + static_cast<uint64_t>(request_.seed ? index % request_.n : index);
    choices_.emplace_back(context_->model().tokenizer.get(), request_.text);
    const absl::StatusOr<SequenceId> id = loop_->Submit(
        std::move(request), [self, index](TokenEvent event) { self->Receive(index, std::move(event)); });
    if (!id.ok()) {
      choices_.pop_back();
      listener_.reset();
      CancelUnfinished("abort");
      exchange_->OnWake(nullptr);
      return FromStatus(id.status());
    }
    choices_.back().sequence = *id;
    ++unfinished_;
  }
  exchange_->OnDisconnect([self](Disconnect why) { self->OnDisconnect(why); });
  return std::nullopt;
}

void Generation::Receive(int32_t index, TokenEvent event) {
  const SequenceId sequence = event.sequence;
  const bool last = event.finish != FinishReason::kNone;
  switch (events_.Push(index, std::move(event))) {
    case EventQueue::Pushed::kWakeReader:
      exchange_->Wake();
      break;
    case EventQueue::Pushed::kQueued:
      break;
    case EventQueue::Pushed::kFull:  // frees the sequence's pages without waiting for the executor
      if (!last) loop_->Cancel(sequence);
      break;
  }
}

void Generation::TakeEvents() {
  taken_ = events_.Take(std::move(taken_));
  for (const EventQueue::Entry& entry : taken_.entries) OnEvent(entry.choice, entry.event);
  taken_.entries.clear();
  if (taken_.overflowed) {
    if (listener_ == nullptr) return;
    context_->metrics().ObserveDropped(DropReason::kEventsFull);
    return Fail({.status = 503,
                 .type = "service_unavailable_error",
                 .code = "overloaded",
                 .message = "the server fell behind in answering this request and has ended it",
                 .retry_after_seconds = 1});
  }
  if (taken_.more) exchange_->Wake();
}

void Generation::OnEvent(int32_t index, const TokenEvent& event) {
  if (listener_ == nullptr || choices_[index].finished) return;
  Choice& choice = choices_[index];
  choice.cached_tokens = std::max<int64_t>(choice.cached_tokens, event.cached_tokens);
  choice.preemptions = event.preemptions;
  choice.accepted_drafts = event.accepted_drafts;
  choice.rejected_drafts = event.rejected_drafts;
  choice.times.first_scheduled = event.first_scheduled;
  if (event.finish == FinishReason::kError || event.finish == FinishReason::kCancelled) {
    Fail(FromServing(event));
    return;
  }

  const std::span<const TokenId> tokens = TokensOf(event);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool ends = i + 1 == tokens.size() && event.finish == FinishReason::kStop;
    TakeToken(choice, tokens[i], event.logprobs, ends);
  }
  std::string finish_reason;
  if (choice.text.stopped() || event.finish != FinishReason::kNone) {
    choice.text.Finish();
    // A stop string, or the one tool call, may complete in text that was held back to the end.
    const bool stop = choice.text.stopped() || event.finish == FinishReason::kStop;
    finish_reason = !stop ? "length" : choice.text.last_call_whole() ? "tool_calls" : "stop";
    if (event.finish == FinishReason::kNone) loop_->Cancel(choice.sequence);
    FinishChoice(choice, index, finish_reason);
  }
  Tell(choice, index, event, finish_reason);
  if (unfinished_ > 0) return;
  listener_->OnFinished(CountUsage());
  End();
}

void Generation::TakeToken(Choice& choice, TokenId token, const model::PositionLogprobs& logprobs,
                           bool ends) {
  const absl::Time now = context_->clock().Now();
  if (choice.tokens == 0) {
    choice.times.first_token = now;
    context_->metrics().ObserveFirstToken(now - arrival_);
  } else {
    context_->metrics().ObserveInterToken(now - choice.last_token);
  }
  choice.last_token = now;
  ++choice.tokens;
  std::optional<model::PositionLogprobs> asked;
  if (request_.request.sampling.top_logprobs >= 0) asked = logprobs;
  if (ends) {
    choice.text.AppendStopToken(token, std::move(asked));
  } else {
    choice.text.Append(token, std::move(asked));
  }
}

void Generation::Tell(Choice& choice, int32_t index, const TokenEvent& event,
                      const std::string& finish_reason) {
  std::vector<TextDelta> deltas = choice.text.Take();
  if (deltas.empty()) deltas.emplace_back();
  for (size_t i = 0; i < deltas.size(); ++i) {
    ChoiceUpdate update{.choice = index, .text = std::move(deltas[i]), .timings = TimingsOf(choice, index)};
    if (i == 0) {
      update.tokens = TokensOf(event);
      update.prompt_logprobs = event.prompt_logprobs;
    }
    if (i + 1 == deltas.size() && !finish_reason.empty()) {
      update.finish_reason = finish_reason;
      update.stop_string = choice.text.stop_string();
      const std::vector<TokenId>& ends = context_->model().eos_token_ids;
      const bool is_end = std::find(ends.begin(), ends.end(), event.token) != ends.end();
      if (event.finish == FinishReason::kStop && !is_end) update.stop_token = event.token;
    }
    if (request_.continuous_usage) update.usage = CountUsage();
    listener_->OnUpdate(update);
  }
}

ChoiceTimings Generation::TimingsOf(const Choice& choice, int32_t index) const {
  ChoiceTimings timings{.prompt_tokens = std::ssize(request_.prompts[index / request_.n]),
                        .cached_tokens = choice.cached_tokens,
                        .generated_tokens = choice.tokens};
  if (choice.tokens == 0) return timings;
  timings.prompt = choice.times.first_token - choice.times.first_scheduled;
  timings.generation = choice.last_token - choice.times.first_token;
  return timings;
}

void Generation::FinishChoice(Choice& choice, int32_t index, const std::string& reason) {
  choice.finished = true;
  --unfinished_;
  choice.times.arrival = arrival_;
  choice.times.end = context_->clock().Now();
  const int32_t prompt = index / request_.n;
  context_->metrics().ObserveEnd({.reason = reason,
                                  .times = choice.times,
                                  .prompt_tokens = std::ssize(request_.prompts[prompt]),
                                  .cached_tokens = choice.cached_tokens,
                                  .generated_tokens = choice.tokens,
                                  .max_tokens = request_.request.max_tokens,
                                  .preemptions = choice.preemptions});
  ObservePromptEnd(prompt);
}

// Once all answers to the prompt have ended.
void Generation::ObservePromptEnd(int32_t prompt) {
  int64_t most_generated = 0;
  for (int32_t i = 0; i < request_.n; ++i) {
    const size_t index = static_cast<size_t>(prompt) * request_.n + i;
    if (index >= choices_.size()) break;  // not submitted
    if (!choices_[index].finished) return;
    most_generated = std::max(most_generated, choices_[index].tokens);
  }
  context_->metrics().ObservePromptEnd(request_.n, most_generated);
}

void Generation::OnDisconnect(Disconnect why) {
  if (listener_ == nullptr) return;
  if (why == Disconnect::kSlowClient) context_->metrics().ObserveDropped(DropReason::kSlowClient);
  listener_.reset();
  CancelUnfinished("abort");
  End();
}

void Generation::Fail(const ApiError& error) {
  const std::unique_ptr<GenerationListener> listener = std::move(listener_);
  CancelUnfinished("error");
  listener->OnFailed(error);
  End();
}

void Generation::CancelUnfinished(const std::string& reason) {
  for (size_t i = 0; i < choices_.size(); ++i) {
    if (choices_[i].finished) continue;
    loop_->Cancel(choices_[i].sequence);
    FinishChoice(choices_[i], static_cast<int32_t>(i), reason);
  }
}

// Breaks the cycle of ownership between exchange and generation.
void Generation::End() {
  listener_.reset();
  exchange_->OnDisconnect(nullptr);
  exchange_->OnWake(nullptr);
}

Usage Generation::CountUsage() const {
  Usage usage;
  for (size_t p = 0; p < request_.prompts.size(); ++p) {
    usage.prompt_tokens += static_cast<int64_t>(request_.prompts[p].size());
    int64_t cached = 0;
    for (int32_t i = 0; i < request_.n; ++i)
      cached = std::max(cached, choices_[p * request_.n + i].cached_tokens);
    usage.cached_tokens += cached;
  }
  for (const Choice& choice : choices_) {
    usage.completion_tokens += choice.tokens;
    usage.reasoning_tokens += choice.text.reasoning_tokens();
    usage.accepted_drafts += choice.accepted_drafts;
    usage.rejected_drafts += choice.rejected_drafts;
  }
  return usage;
}

}  // namespace deeprack::coordinator
