// POST /v1/messages: Anthropic's Messages API.
#include "coordinator/api/anthropic/messages_answer.h"
#include "coordinator/api/anthropic/messages_request.h"
#include "coordinator/api/generating.h"

namespace deeprack::coordinator {

std::function<void()> Messages(ApiContext& context, const ApiRequest& http,
                               const std::shared_ptr<HttpExchange>& exchange) {
  using anthropic::MessagesRequest;
  const GenerationAnswers<MessagesRequest> answers = {
      .whole = anthropic::MakeWholeMessage,
      .streamed = anthropic::MakeStreamedMessage,
      .generation = [](MessagesRequest& request) -> GenerationRequest& { return request.generation; }};
  return Generating(context, http, exchange, anthropic::ParseMessagesRequest(http.body(), context.model()),
                    answers);
}

}  // namespace deeprack::coordinator
