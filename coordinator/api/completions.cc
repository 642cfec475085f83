// POST /v1/completions
#include "coordinator/api/completion_answer.h"
#include "coordinator/api/completion_request.h"
#include "coordinator/api/generating.h"

namespace deeprack::coordinator {

std::function<void()> Completions(ApiContext& context, const ApiRequest& http,
                                  const std::shared_ptr<HttpExchange>& exchange) {
  const GenerationAnswers<CompletionRequest> answers = {
      .whole = MakeWholeCompletion,
      .streamed = MakeStreamedCompletion,
      .generation = [](CompletionRequest& request) -> GenerationRequest& { return request.generation; }};
  return Generating(context, http, exchange, ParseCompletionRequest(http.body(), context.model()), answers);
}

}  // namespace deeprack::coordinator
