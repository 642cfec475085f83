// POST /detokenize: {tokens} -> {prompt}, as vLLM answers it: special tokens are shown.
#include <optional>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/completion_request.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/sampling_fields.h"

namespace deeprack::coordinator {

void Detokenize(ApiContext& context, const HttpRequest& http, const std::shared_ptr<HttpExchange>& exchange) {
  constexpr size_t kMaxTokens = 1 << 20;
  const ServedModel& model = context.model();
  const std::variant<Json, ApiError> parsed = ParseBody(http.body);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return RespondError(*exchange, *error);
  std::optional<ApiError> error;
  JsonFields fields(std::get<Json>(parsed), "", &error);
  ReadModelField(fields, model);
  std::optional<std::vector<TokenId>> ids;
  if (const Json* tokens = fields.Array("tokens", kMaxTokens)) {
    ids = ReadTokenIds(fields, *tokens, "tokens", model);
  } else {
    fields.Fail(BadRequest("missing_field", "tokens", "tokens is missing"));
  }
  fields.RefuseUnknown();
  if (error) return RespondError(*exchange, *error);
  RespondJson(*exchange, {{"prompt", model.tokenizer->Decode(*ids, /*show_special=*/true)}});
}

}  // namespace deeprack::coordinator
