// POST /detokenize: {tokens} -> {prompt}, as in vLLM. Special tokens become text, but with
// skip_special_tokens.
#include <optional>
#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/completion_request.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/sampling_fields.h"

namespace deeprack::coordinator {

namespace {

HttpResponse Answer(ApiContext& context, const std::string& body) {
  const ServedModel& model = context.model();
  constexpr size_t kMaxTokens = 1 << 20;
  const std::variant<Json, ApiError> parsed = ParseBody(body);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return ErrorResponse(*error);
  std::optional<ApiError> error;
  UnknownFields unknown{.ignore = model.ignore_unknown_fields};
  JsonFields fields(std::get<Json>(parsed), kDetokenizeRequest, "", &error, &unknown);
  ReadModelField(fields, model);
  std::optional<std::vector<TokenId>> ids;
  if (const Json* tokens = fields.Array("tokens", kMaxTokens)) {
    ids = ReadTokenIds(fields, *tokens, "tokens", model);
  } else {
    fields.Fail(BadRequest("missing_field", "tokens", "tokens is missing"));
  }
  const bool show_special = !fields.Bool("skip_special_tokens", false);
  fields.RefuseOthers();
  if (error) return ErrorResponse(*error);
  context.metrics().ObserveIgnoredFields(unknown.ignored);
  return JsonResponse({{"prompt", model.tokenizer->Decode(*ids, show_special)}});
}

}  // namespace

std::function<void()> Detokenize(ApiContext& context, const ApiRequest& request,
                                 const std::shared_ptr<HttpExchange>& exchange) {
  return Answering(exchange, Answer(context, request.body()));
}

}  // namespace deeprack::coordinator
