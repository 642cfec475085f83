// POST /v1/messages/count_tokens: the prompt fields of /v1/messages -> {"input_tokens"}. Generates nothing,
// and works before the model is loaded.
#include "coordinator/api/answer_json.h"
#include "coordinator/api/anthropic/messages_request.h"
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {
namespace {

HttpResponse Answer(const std::variant<int64_t, ApiError>& counted, absl::string_view request_id) {
  if (const ApiError* error = std::get_if<ApiError>(&counted)) {
    return ErrorResponse(*error, ErrorShape::kAnthropic, request_id);
  }
  return JsonResponse({{"input_tokens", std::get<int64_t>(counted)}});
}

}  // namespace

std::function<void()> CountMessageTokens(ApiContext& context, const ApiRequest& http,
                                         const std::shared_ptr<HttpExchange>& exchange) {
  return Answering(exchange, Answer(anthropic::CountPromptTokens(http.body(), context.model()), http.http.id));
}

}  // namespace deeprack::coordinator
