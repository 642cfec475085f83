// POST /v1/responses, and POST /v1/responses/input_tokens, which counts the tokens of such a request's
// prompt.
#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/compile_constraint.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/generation.h"
#include "coordinator/api/read_aside.h"
#include "coordinator/api/responses/responses_answer.h"
#include "coordinator/api/responses/responses_request.h"

namespace deeprack::coordinator {
namespace {

using Parsed = std::variant<ResponsesRequest, ApiError>;

void Answer(ApiContext& context, ResponsesRequest request, const std::shared_ptr<HttpExchange>& exchange) {
  GenerationRequest generation = std::move(request.generation);
  request.generation = {.caller = generation.caller, .model = generation.model};
  const bool stream = generation.stream;
  ResponseStream answer;
  if (stream) {
    answer = MakeResponseStream(&context, std::move(request), exchange);
  } else {
    answer.answer = MakeWholeResponse(&context, std::move(request), exchange);
  }
  const std::optional<ApiError> error =
      Generation::Start(&context, std::move(generation), exchange, std::move(answer.answer));
  if (error) return RespondError(*exchange, *error);
  if (!stream) return;
  exchange->StartStream();
  exchange->Send(std::move(answer.opening));
}

// How one of the two endpoints makes the prompt of a request that was read, and answers.
struct Steps {
  std::optional<ApiError> (*render)(const ServedModel& model, ResponsesRequest& request);
  void (*answer)(ApiContext& context, ResponsesRequest request,
                 const std::shared_ptr<HttpExchange>& exchange);
};

void AnswerParsed(ApiContext& context, const Steps& steps, Parsed& parsed,
                  const std::shared_ptr<HttpExchange>& exchange) {
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return RespondError(*exchange, *error);
  auto request = std::make_shared<ResponsesRequest>(std::move(std::get<ResponsesRequest>(parsed)));
  CompileConstraint(context, request->generation, exchange,
                    [&context, steps, request, exchange](const std::optional<ApiError>& refused) {
                      if (refused) return RespondError(*exchange, *refused);
                      steps.answer(context, std::move(*request), exchange);
                    });
}

void Render(const ServedModel& model, const Steps& steps, Parsed& parsed) {
  auto* request = std::get_if<ResponsesRequest>(&parsed);
  if (request == nullptr) return;
  if (std::optional<ApiError> error = steps.render(model, *request)) parsed = *std::move(error);
}

std::function<void()> ReadAndAnswer(ApiContext& context, const ApiRequest& request, const Steps& steps,
                                    const std::shared_ptr<HttpExchange>& exchange) {
  const ResponsesContext reading = {
      .model = context.model(),
      .store = context.responses(),
      .owner = request.caller.key,
      .make_id = [&context](const std::string& prefix) { return MakeId(prefix, context); }};
  auto parsed = std::make_shared<Parsed>(ReadResponsesRequest(request.body(), reading));
  size_t stored_bytes = 0;
  if (auto* read = std::get_if<ResponsesRequest>(parsed.get())) {
    read->generation.caller = request.caller;
    stored_bytes = ConversationBytes(read->conversation);
  }
  // A short body may continue a long conversation. Its prompt is made aside, as that of a large body is.
  if (request.body().size() > kMaxInlineBodyBytes || stored_bytes <= kMaxInlineBodyBytes) {
    Render(context.model(), steps, *parsed);
    return [&context, steps, exchange, parsed] { AnswerParsed(context, steps, *parsed, exchange); };
  }
  return [&context, steps, exchange, parsed, stored_bytes] {
    ReadAside(context, exchange, ErrorShape::kOpenAi, stored_bytes, "long conversations",
              [&context, steps, exchange, parsed]() -> std::function<void()> {
                Render(context.model(), steps, *parsed);
                return
                    [&context, steps, exchange, parsed] { AnswerParsed(context, steps, *parsed, exchange); };
              });
  };
}

void AnswerCount(ApiContext& context, ResponsesRequest request,
                 const std::shared_ptr<HttpExchange>& exchange) {
  context.metrics().ObserveIgnoredFields(request.generation.ignored_fields);
  RespondJson(*exchange, InputTokensJson(request.generation));
}

}  // namespace

std::function<void()> Responses(ApiContext& context, const ApiRequest& request,
                                const std::shared_ptr<HttpExchange>& exchange) {
  return ReadAndAnswer(context, request, {.render = MakePrompt, .answer = Answer}, exchange);
}

std::function<void()> CountResponseTokens(ApiContext& context, const ApiRequest& request,
                                          const std::shared_ptr<HttpExchange>& exchange) {
  return ReadAndAnswer(context, request, {.render = RenderConversation, .answer = AnswerCount}, exchange);
}

}  // namespace deeprack::coordinator
