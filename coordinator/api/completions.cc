// POST /v1/completions
#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/completion_answer.h"
#include "coordinator/api/completion_request.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/generation.h"

namespace deeprack::coordinator {

void Completions(ApiContext& context, const HttpRequest& http,
                 const std::shared_ptr<HttpExchange>& exchange) {
  std::variant<CompletionRequest, ApiError> parsed = ParseCompletionRequest(http.body, context.model());
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return RespondError(*exchange, *error);
  CompletionRequest& request = std::get<CompletionRequest>(parsed);
  const bool stream = request.generation.stream;
  auto answer = stream ? MakeStreamedCompletion(&context, request, exchange)
                       : MakeWholeCompletion(&context, request, exchange);
  const std::optional<ApiError> error =
      Generation::Start(&context, std::move(request.generation), exchange, std::move(answer));
  if (error) return RespondError(*exchange, *error);
  if (stream) exchange->StartStream();
}

}  // namespace deeprack::coordinator
