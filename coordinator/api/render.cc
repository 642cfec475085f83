// POST /v1/chat/completions/render and /v1/completions/render: the token ids and the sampling parameters that
// a request stands for, as in vLLM. Nothing is generated.
#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/chat_request.h"
#include "coordinator/api/completion_request.h"
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {
namespace {

Json SamplingJson(const GenerationRequest& request) {
  const model::SamplingParams& sampling = request.request.sampling;
  Json json = {{"n", request.n},
               {"temperature", DecimalJson(sampling.temperature)},
               {"top_p", DecimalJson(sampling.top_p)},
               {"top_k", sampling.top_k},
               {"min_p", DecimalJson(sampling.min_p)},
               {"presence_penalty", DecimalJson(sampling.presence_penalty)},
               {"frequency_penalty", DecimalJson(sampling.frequency_penalty)},
               {"repetition_penalty", DecimalJson(sampling.repetition_penalty)},
               {"seed", nullptr},
               {"stop", request.text.stop},
               {"stop_token_ids", request.request.stop_token_ids},
               {"ignore_eos", request.request.ignore_eos},
               {"max_tokens", request.request.max_tokens},
               {"min_tokens", request.request.min_tokens},
               {"logprobs", nullptr},
               {"skip_special_tokens", !request.text.show_special},
               {"include_stop_str_in_output", request.text.include_stop}};
  if (request.seed) json["seed"] = *request.seed;
  if (sampling.top_logprobs >= 0) json["logprobs"] = sampling.top_logprobs;
  return json;
}

Json RenderedJson(ApiContext& context, const GenerationRequest& request, const std::vector<TokenId>& ids,
                  const char* prefix) {
  Json json = {{"request_id", MakeId(prefix, context)},
               {"token_ids", ids},
               {"sampling_params", SamplingJson(request)},
               {"model", context.model().NameFor(request)},
               {"stream", request.stream},
               {"stream_options", nullptr}};
  if (request.stream)
    json["stream_options"] = {{"include_usage", request.include_usage},
                              {"continuous_usage_stats", request.continuous_usage}};
  return json;
}

HttpResponse AnswerChat(ApiContext& context, const std::string& body) {
  const auto parsed = ParseChatRequest(body, context.model());
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return ErrorResponse(*error);
  const auto& request = std::get<GenerationRequest>(parsed);
  context.metrics().ObserveIgnoredFields(request.ignored_fields);
  return JsonResponse(RenderedJson(context, request, request.prompts.front(), "chatcmpl-"));
}

HttpResponse AnswerCompletion(ApiContext& context, const std::string& body) {
  const auto parsed = ParseCompletionRequest(body, context.model());
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return ErrorResponse(*error);
  const GenerationRequest& request = std::get<CompletionRequest>(parsed).generation;
  context.metrics().ObserveIgnoredFields(request.ignored_fields);
  Json list = Json::array();
  for (const std::vector<TokenId>& ids : request.prompts) {
    list.push_back(RenderedJson(context, request, ids, "cmpl-"));
  }
  return JsonResponse(list);
}

}  // namespace

std::function<void()> RenderChatPrompt(ApiContext& context, const ApiRequest& request,
                                       const std::shared_ptr<HttpExchange>& exchange) {
  return Answering(exchange, AnswerChat(context, request.body()));
}

std::function<void()> RenderCompletionPrompts(ApiContext& context, const ApiRequest& request,
                                              const std::shared_ptr<HttpExchange>& exchange) {
  return Answering(exchange, AnswerCompletion(context, request.body()));
}

}  // namespace deeprack::coordinator
