// One api request's sequences, from submission to the last event: collects what the step loop says, turns it
// into text, and tells a listener. Lives on the exchange's executor; only the events come from elsewhere.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/api/api_context.h"
#include "coordinator/api/api_error.h"
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
};

// What one event changed for one choice.
struct ChoiceUpdate {
  int32_t choice = 0;
  TextDelta text;
  std::optional<TokenId> token;                          // generated; an end token included
  std::optional<model::PositionLogprobs> logprobs;       // the token's, if asked for
  std::vector<model::PositionLogprobs> prompt_logprobs;  // of prompt tokens 1, 2, ..., as they come
  std::string finish_reason;                             // not empty: the choice's last update
};

class GenerationListener {
 public:
  virtual ~GenerationListener() = default;
  virtual void OnUpdate(const ChoiceUpdate& update) = 0;
  // Exactly one of these comes, and it is the last call.
  virtual void OnFinished(const Usage& usage) = 0;
  virtual void OnFailed(const ApiError& error) = 0;
};

class Generation : public std::enable_shared_from_this<Generation> {
 public:
  // Submits all sequences, or none: on an error those already submitted are cancelled, and the listener is
  // never called. A client that disconnects cancels what is left. `context` outlives the generation.
  static std::optional<ApiError> Start(ApiContext* context, GenerationRequest request,
                                       std::shared_ptr<HttpExchange> exchange,
                                       std::unique_ptr<GenerationListener> listener);

 private:
  struct Choice {
    Choice(const Tokenizer* tokenizer, const TextOptions& options) : text(tokenizer, options) {}

    SequenceId sequence = 0;
    SequenceText text;
    int64_t tokens = 0;
    int64_t reasoning_tokens = 0;
    int64_t cached_tokens = 0;
    bool finished = false;
    SequenceTimes times;
    absl::Time last_token;
  };

  Generation(ApiContext* context, StepLoop* loop, GenerationRequest request,
             std::shared_ptr<HttpExchange> exchange, std::unique_ptr<GenerationListener> listener);

  std::optional<ApiError> Submit();
  void OnEvent(int32_t index, const TokenEvent& event);
  void TakeToken(Choice& choice, const TokenEvent& event, ChoiceUpdate& update);
  void FinishChoice(Choice& choice, int32_t index, const std::string& reason);
  void OnDisconnect();
  void Fail(const ApiError& error);
  void CancelUnfinished(const std::string& reason);
  void End();
  Usage CountUsage() const;

  ApiContext* context_;
  StepLoop* loop_;
  GenerationRequest request_;
  std::shared_ptr<HttpExchange> exchange_;
  std::unique_ptr<GenerationListener> listener_;  // null: it has had its last call
  absl::Time arrival_;
  std::vector<Choice> choices_;
  int32_t unfinished_ = 0;
};

}  // namespace deeprack::coordinator
