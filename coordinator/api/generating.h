// The second half of the endpoints that generate, which is the same for every shape of requests and answers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/compile_constraint.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/generation.h"

namespace deeprack::coordinator {

// What an endpoint does with its requests.
template <class Request>
struct GenerationAnswers {
  using Make = std::unique_ptr<GenerationListener> (*)(ApiContext* context, const Request& request,
                                                       std::shared_ptr<HttpExchange> exchange);
  Make whole, streamed;
  GenerationRequest& (*generation)(Request& request);  // the part that Generation takes
};

// Submits the sequences of `request`, and answers with what is generated.
template <class Request>
void StartGenerating(ApiContext& context, const std::shared_ptr<HttpExchange>& exchange, Request& request,
                     const GenerationAnswers<Request>& answers, ErrorShape errors) {
  GenerationRequest& generation = answers.generation(request);
  const bool stream = generation.stream;
  auto answer = (stream ? answers.streamed : answers.whole)(&context, request, exchange);
  const std::optional<ApiError> error =
      Generation::Start(&context, std::move(generation), exchange, std::move(answer));
  if (error) return RespondError(*exchange, *error, errors);
  if (stream) exchange->StartStream();
}

// Answers `read`: with the error, or with what is generated. The second half of a BodyEndpoint.
template <class Request>
std::function<void()> Generating(ApiContext& context, const ApiRequest& http,
                                 const std::shared_ptr<HttpExchange>& exchange,
                                 std::variant<Request, ApiError> read,
                                 const GenerationAnswers<Request>& answers) {
  auto parsed = std::make_shared<std::variant<Request, ApiError>>(std::move(read));
  return [&context, exchange, parsed, answers, caller = http.caller, errors = http.errors] {
    if (const ApiError* error = std::get_if<ApiError>(parsed.get()))
      return RespondError(*exchange, *error, errors);
    Request& request = std::get<Request>(*parsed);
    GenerationRequest& generation = answers.generation(request);
    generation.caller = caller;
    CompileConstraint(context, generation, exchange,
                      [&context, exchange, parsed, answers, errors](const std::optional<ApiError>& refused) {
                        if (refused) return RespondError(*exchange, *refused, errors);
                        StartGenerating(context, exchange, std::get<Request>(*parsed), answers, errors);
                      });
  };
}

}  // namespace deeprack::coordinator
