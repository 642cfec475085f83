// POST /detokenize: {tokens} -> {prompt}, as in vLLM, and {content}, llama.cpp's name of the same text.
// Special tokens become text, but with skip_special_tokens.
#include <optional>
#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/completion_request.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/sampling_fields.h"

namespace deeprack::coordinator {

namespace {

HttpResponse DetokenizeAnswer(ApiContext& context, const std::string& body) {
  const ServedModel& model = context.model();
  constexpr size_t kMaxTokens = 1 << 20;
  BodyReader reader(body, kDetokenizeRequest, model.ignore_unknown_fields);
  JsonFields& fields = reader.fields();
  ReadModelField(fields, model);
  std::optional<std::vector<TokenId>> ids;
  if (const Json* tokens = fields.Array("tokens", kMaxTokens)) {
    ids = ReadTokenIds(fields, *tokens, "tokens", model);
  } else {
    fields.Fail(BadRequest("missing_field", "tokens", "tokens is missing"));
  }
  const bool show_special = !fields.Bool("skip_special_tokens", false);
  fields.RefuseOthers();
  if (reader.error()) return ErrorResponse(*reader.error());
  context.metrics().ObserveIgnoredFields(reader.ignored());
  const std::string text = model.tokenizer->Decode(*ids, show_special);
  return JsonResponse({{"prompt", text}, {"content", text}});
}

}  // namespace

std::function<void()> Detokenize(ApiContext& context, const ApiRequest& request,
                                 const std::shared_ptr<HttpExchange>& exchange) {
  return Answering(exchange, DetokenizeAnswer(context, request.body()));
}

}  // namespace deeprack::coordinator
