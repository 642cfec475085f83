// POST /v1/messages: Anthropic's Messages API.
#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/anthropic/messages_answer.h"
#include "coordinator/api/anthropic/messages_request.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/generation.h"

namespace deeprack::coordinator {
namespace {

void Answer(ApiContext& context, anthropic::MessagesRequest request,
            const std::shared_ptr<HttpExchange>& exchange) {
  const bool stream = request.generation.stream;
  auto answer = stream ? anthropic::MakeStreamedMessage(&context, request, exchange)
                       : anthropic::MakeWholeMessage(&context, request, exchange);
  const std::optional<ApiError> error =
      Generation::Start(&context, std::move(request.generation), exchange, std::move(answer));
  if (error) return RespondError(*exchange, *error, ErrorShape::kAnthropic);
  if (stream) exchange->StartStream();
}

}  // namespace

std::function<void()> Messages(ApiContext& context, const ApiRequest& http,
                               const std::shared_ptr<HttpExchange>& exchange) {
  auto parsed = std::make_shared<std::variant<anthropic::MessagesRequest, ApiError>>(
      anthropic::ParseMessagesRequest(http.body(), context.model()));
  return [&context, exchange, parsed, caller = http.caller] {
    if (const ApiError* error = std::get_if<ApiError>(parsed.get())) {
      return RespondError(*exchange, *error, ErrorShape::kAnthropic);
    }
    auto& request = std::get<anthropic::MessagesRequest>(*parsed);
    request.generation.caller = caller;
    Answer(context, std::move(request), exchange);
  };
}

}  // namespace deeprack::coordinator
