// POST /apply-template: a chat request -> {prompt}, the text that the model's chat template makes of it, as
// in llama.cpp. Generates nothing, and works before the model is loaded.
#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/chat_request.h"
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {
namespace {

HttpResponse ApplyTemplateAnswer(ApiContext& context, const std::string& body) {
  const ServedModel& model = context.model();
  const auto read = ReadChatRequest(body, model);
  if (const ApiError* error = std::get_if<ApiError>(&read)) return ErrorResponse(*error);
  const auto& chat = std::get<UnrenderedChat>(read);
  const auto text = RenderChatText(chat.prompt, model);
  if (const ApiError* error = std::get_if<ApiError>(&text)) return ErrorResponse(*error);
  context.metrics().ObserveIgnoredFields(chat.request.ignored_fields);
  return JsonResponse({{"prompt", std::get<std::string>(text)}});
}

}  // namespace

std::function<void()> ApplyTemplate(ApiContext& context, const ApiRequest& request,
                                    const std::shared_ptr<HttpExchange>& exchange) {
  return Answering(exchange, ApplyTemplateAnswer(context, request.body()));
}

}  // namespace deeprack::coordinator
