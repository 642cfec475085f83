// POST /v1/chat/completions
#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/chat_answer.h"
#include "coordinator/api/chat_request.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/generation.h"

namespace deeprack::coordinator {

void ChatCompletions(ApiContext& context, const HttpRequest& http,
                     const std::shared_ptr<HttpExchange>& exchange) {
  std::variant<GenerationRequest, ApiError> parsed = ParseChatRequest(http.body, context.model());
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return RespondError(*exchange, *error);
  GenerationRequest& request = std::get<GenerationRequest>(parsed);
  const bool stream = request.stream;
  auto answer = stream ? MakeStreamedChatAnswer(&context, request, exchange)
                       : MakeWholeChatAnswer(&context, request, exchange);
  const std::optional<ApiError> error =
      Generation::Start(&context, std::move(request), exchange, std::move(answer));
  if (error) return RespondError(*exchange, *error);
  if (stream) exchange->StartStream();
}

}  // namespace deeprack::coordinator
