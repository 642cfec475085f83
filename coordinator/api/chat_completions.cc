// POST /v1/chat/completions
#include "coordinator/api/chat_answer.h"
#include "coordinator/api/chat_request.h"
#include "coordinator/api/generating.h"

namespace deeprack::coordinator {

std::function<void()> ChatCompletions(ApiContext& context, const ApiRequest& http,
                                      const std::shared_ptr<HttpExchange>& exchange) {
  const GenerationAnswers<GenerationRequest> answers = {
      .whole = MakeWholeChatAnswer,
      .streamed = MakeStreamedChatAnswer,
      .generation = [](GenerationRequest& request) -> GenerationRequest& { return request; }};
  return Generating(context, http, exchange, ParseChatRequest(http.body(), context.model()), answers);
}

}  // namespace deeprack::coordinator
