// POST /completion: llama.cpp's own shape of a completion.
#include "coordinator/api/generating.h"
#include "coordinator/api/llama_cpp/native_answer.h"
#include "coordinator/api/llama_cpp/native_request.h"

namespace deeprack::coordinator {

std::function<void()> NativeCompletion(ApiContext& context, const ApiRequest& http,
                                       const std::shared_ptr<HttpExchange>& exchange) {
  using llama_cpp::NativeRequest;
  const GenerationAnswers<NativeRequest> answers = {
      .whole = llama_cpp::MakeWholeAnswer,
      .streamed = llama_cpp::MakeStreamedAnswer,
      .generation = [](NativeRequest& request) -> GenerationRequest& {
        return request.completion.generation;
      }};
  return Generating(context, http, exchange, llama_cpp::ParseNativeRequest(http.body(), context.model()),
                    answers);
}

}  // namespace deeprack::coordinator
