// POST /invocations: a chat or a completion request, as SageMaker sends both to one path. A request with
// `messages` is a chat.
#include "coordinator/api/endpoints.h"
#include "coordinator/api/json_fields.h"

namespace deeprack::coordinator {

std::function<void()> Invocations(ApiContext& context, const ApiRequest& request,
                                  const std::shared_ptr<HttpExchange>& exchange) {
  const std::variant<Json, ApiError> parsed = ParseBody(request.body());
  const Json* object = std::get_if<Json>(&parsed);
  const bool is_completion = object != nullptr && object->contains("prompt") && !object->contains("messages");
  return is_completion ? Completions(context, request, exchange)
                       : ChatCompletions(context, request, exchange);
}

}  // namespace deeprack::coordinator
