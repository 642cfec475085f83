// The sequences of one API request, from submission to the last event. A generation takes the step loop's
// events, turns tokens into text, and tells a listener. It belongs to the exchange's executor; the step
// loop's thread hands events over in an EventQueue.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/api/api_context.h"
#include "coordinator/api/api_error.h"
#include "coordinator/api/event_queue.h"
#include "coordinator/api/generation_request.h"
#include "coordinator/api/http_server.h"
#include "coordinator/api/sequence_text.h"
#include "coordinator/api/serving_metrics.h"

namespace deeprack::coordinator {

struct Usage {
  int64_t prompt_tokens = 0;  // each prompt once, whatever n is
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;  // prompt tokens that some answer found in the prefix cache
  int64_t reasoning_tokens = 0;
  int64_t accepted_drafts = 0;  // drafts of the model's MTP layer that became tokens of the answers
  int64_t rejected_drafts = 0;  // drafts of the MTP layer that became no token
};

// The tokens of one choice, and the time that they took.
struct ChoiceTimings {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;     // of the prompt, found in the prefix cache so far
  int64_t generated_tokens = 0;  // so far
  absl::Duration prompt;         // from the choice's first step to its first token; zero before the token
  absl::Duration generation;     // from the first token to the latest
};

// A change to one choice. The tokens of one step make several updates if their text is shown in several
// deltas; the first of them has the tokens.
struct ChoiceUpdate {
  int32_t choice = 0;
  TextDelta text;                   // with log-probabilities, if they were asked for
  std::span<const TokenId> tokens;  // generated; end tokens too. Valid during OnUpdate
  // Of prompt tokens 1, 2, ..., in order. Valid during OnUpdate.
  std::span<const model::PositionLogprobs> prompt_logprobs;
  std::string finish_reason;  // not empty in the choice's last update
  // In the last update: the stop string or the stop token of the request that ended the choice, if one did.
  std::string stop_string;
  std::optional<TokenId> stop_token;  // none of the model's end tokens
  ChoiceTimings timings;
  std::optional<Usage> usage;  // of the whole request so far, if GenerationRequest::continuous_usage
};

class GenerationListener {
 public:
  virtual ~GenerationListener() = default;
  virtual void OnUpdate(const ChoiceUpdate& update) = 0;
  // The last call is exactly one of these two.
  virtual void OnFinished(const Usage& usage) = 0;
  virtual void OnFailed(const ApiError& error) = 0;
};

class Generation : public std::enable_shared_from_this<Generation> {
 public:
  // 400 if a prompt has a token id beyond the model's vocabulary. Submits all sequences, or none: on an error
  // the sequences submitted before are cancelled, and the listener is never called. When the client
  // disconnects, the unfinished sequences are cancelled. `context` outlives the generation.
  static std::optional<ApiError> Start(ApiContext* context, GenerationRequest request,
                                       std::shared_ptr<HttpExchange> exchange,
                                       std::unique_ptr<GenerationListener> listener);

 private:
  struct Choice {
    Choice(const Tokenizer* tokenizer, const TextOptions& options) : text(tokenizer, options) {}

    SequenceId sequence = 0;
    SequenceText text;
    int64_t tokens = 0;
    int64_t cached_tokens = 0;
    int64_t preemptions = 0;
    int64_t accepted_drafts = 0, rejected_drafts = 0;
    bool finished = false;
    SequenceTimes times;
    absl::Time last_token;
  };

  Generation(ApiContext* context, StepLoop* loop, GenerationRequest request,
             std::shared_ptr<HttpExchange> exchange, std::unique_ptr<GenerationListener> listener);

  std::optional<ApiError> Submit();
  // On the step loop's thread.
  void Receive(int32_t index, TokenEvent event);
  void TakeEvents();
  void OnEvent(int32_t index, const TokenEvent& event);
  void TakeToken(Choice& choice, TokenId token, const model::PositionLogprobs& logprobs, bool ends);
  void Tell(Choice& choice, int32_t index, const TokenEvent& event, const std::string& finish_reason);
  ChoiceTimings TimingsOf(const Choice& choice, int32_t index) const;
  void FinishChoice(Choice& choice, int32_t index, const std::string& reason);
  void ObservePromptEnd(int32_t prompt);
  void OnDisconnect(Disconnect why);
  void Fail(const ApiError& error);
  void CancelUnfinished(const std::string& reason);
  void End();
  Usage CountUsage() const;

  ApiContext* context_;
  StepLoop* loop_;
  GenerationRequest request_;
  std::shared_ptr<HttpExchange> exchange_;
  std::unique_ptr<GenerationListener> listener_;  // null after its last call
  EventQueue events_;
  EventQueue::Taken taken_;
  absl::Time arrival_;
  std::vector<Choice> choices_;
  int32_t unfinished_ = 0;
};

}  // namespace deeprack::coordinator
