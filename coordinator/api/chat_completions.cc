// POST /v1/chat/completions
#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/chat_answer.h"
#include "coordinator/api/chat_request.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/generation.h"

namespace deeprack::coordinator {

namespace {

void Answer(ApiContext& context, GenerationRequest request, const std::shared_ptr<HttpExchange>& exchange) {
  const bool stream = request.stream;
  auto answer = stream ? MakeStreamedChatAnswer(&context, request, exchange)
                       : MakeWholeChatAnswer(&context, request, exchange);
  const std::optional<ApiError> error =
      Generation::Start(&context, std::move(request), exchange, std::move(answer));
  if (error) return RespondError(*exchange, *error);
  if (stream) exchange->StartStream();
}

}  // namespace

std::function<void()> ChatCompletions(ApiContext& context, const ApiRequest& http,
                                      const std::shared_ptr<HttpExchange>& exchange) {
  auto parsed = std::make_shared<std::variant<GenerationRequest, ApiError>>(
      ParseChatRequest(http.body(), context.model()));
  return [&context, exchange, parsed, caller = http.caller] {
    if (const ApiError* error = std::get_if<ApiError>(parsed.get())) return RespondError(*exchange, *error);
    GenerationRequest& request = std::get<GenerationRequest>(*parsed);
    request.caller = caller;
    Answer(context, std::move(request), exchange);
  };
}

}  // namespace deeprack::coordinator
