// POST /completion: llama.cpp's own shape of a completion.
#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/generation.h"
#include "coordinator/api/llama_cpp/native_answer.h"
#include "coordinator/api/llama_cpp/native_request.h"

namespace deeprack::coordinator {
namespace {

void Answer(ApiContext& context, llama_cpp::NativeRequest request,
            const std::shared_ptr<HttpExchange>& exchange) {
  GenerationRequest& generation = request.completion.generation;
  const bool stream = generation.stream;
  auto answer = stream ? llama_cpp::MakeStreamedAnswer(&context, request, exchange)
                       : llama_cpp::MakeWholeAnswer(&context, request, exchange);
  const std::optional<ApiError> error =
      Generation::Start(&context, std::move(generation), exchange, std::move(answer));
  if (error) return RespondError(*exchange, *error);
  if (stream) exchange->StartStream();
}

}  // namespace

std::function<void()> NativeCompletion(ApiContext& context, const ApiRequest& http,
                                       const std::shared_ptr<HttpExchange>& exchange) {
  auto parsed = std::make_shared<std::variant<llama_cpp::NativeRequest, ApiError>>(
      llama_cpp::ParseNativeRequest(http.body(), context.model()));
  return [&context, exchange, parsed, caller = http.caller] {
    if (const ApiError* error = std::get_if<ApiError>(parsed.get())) return RespondError(*exchange, *error);
    auto& request = std::get<llama_cpp::NativeRequest>(*parsed);
    request.completion.generation.caller = caller;
    Answer(context, std::move(request), exchange);
  };
}

}  // namespace deeprack::coordinator
