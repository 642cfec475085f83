// POST /v1/chat/completions/input_tokens: a chat request -> {object, input_tokens}, as in llama.cpp.
// Generates nothing, and works before the model is loaded.
#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/chat_request.h"
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {
namespace {

HttpResponse InputTokensAnswer(ApiContext& context, const std::string& body) {
  std::variant<UnrenderedChat, ApiError> read = ReadChatRequest(body, context.model());
  if (const ApiError* error = std::get_if<ApiError>(&read)) return ErrorResponse(*error);
  auto& chat = std::get<UnrenderedChat>(read);
  const std::optional<ApiError> error = RenderChat(chat.prompt, context.model(), chat.request);
  if (error) return ErrorResponse(*error);
  context.metrics().ObserveIgnoredFields(chat.request.ignored_fields);
  return JsonResponse(InputTokensJson(chat.request));
}

}  // namespace

std::function<void()> CountChatTokens(ApiContext& context, const ApiRequest& request,
                                      const std::shared_ptr<HttpExchange>& exchange) {
  return Answering(exchange, InputTokensAnswer(context, request.body()));
}

}  // namespace deeprack::coordinator
