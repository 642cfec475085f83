// POST /v1/messages/count_tokens: the prompt fields of /v1/messages -> {"input_tokens"}. Generates nothing,
// and works before the model is loaded.
#include "coordinator/api/answer_json.h"
#include "coordinator/api/anthropic/messages_request.h"
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {
namespace {

HttpResponse Answer(ApiContext& context, const HttpRequest& http) {
  const auto parsed = anthropic::ParseCountTokensRequest(http.body, context.model());
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) {
    return ErrorResponse(*error, ErrorShape::kAnthropic, http.id);
  }
  const auto& request = std::get<GenerationRequest>(parsed);
  context.metrics().ObserveIgnoredFields(request.ignored_fields);
  return JsonResponse({{"input_tokens", request.prompts.front().size()}});
}

}  // namespace

std::function<void()> CountMessageTokens(ApiContext& context, const ApiRequest& http,
                                         const std::shared_ptr<HttpExchange>& exchange) {
  return Answering(exchange, Answer(context, http.http));
}

}  // namespace deeprack::coordinator
