// POST /v1/completions
#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/completion_answer.h"
#include "coordinator/api/completion_request.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/generation.h"

namespace deeprack::coordinator {

namespace {

void Answer(ApiContext& context, CompletionRequest request, const std::shared_ptr<HttpExchange>& exchange) {
  const bool stream = request.generation.stream;
  auto answer = stream ? MakeStreamedCompletion(&context, request, exchange)
                       : MakeWholeCompletion(&context, request, exchange);
  const std::optional<ApiError> error =
      Generation::Start(&context, std::move(request.generation), exchange, std::move(answer));
  if (error) return RespondError(*exchange, *error);
  if (stream) exchange->StartStream();
}

}  // namespace

std::function<void()> Completions(ApiContext& context, const ApiRequest& http,
                                  const std::shared_ptr<HttpExchange>& exchange) {
  auto parsed = std::make_shared<std::variant<CompletionRequest, ApiError>>(
      ParseCompletionRequest(http.body(), context.model()));
  return [&context, exchange, parsed, caller = http.caller] {
    if (const ApiError* error = std::get_if<ApiError>(parsed.get())) return RespondError(*exchange, *error);
    CompletionRequest& request = std::get<CompletionRequest>(*parsed);
    request.generation.caller = caller;
    Answer(context, std::move(request), exchange);
  };
}

}  // namespace deeprack::coordinator
