#include "coordinator/api/llama_cpp/native_request.h"

#include <optional>
#include <utility>

#include "coordinator/api/answer_form.h"
#include "coordinator/api/llama_cpp/native_fields.h"
#include "coordinator/api/sampling_fields.h"

namespace deeprack::coordinator::llama_cpp {

std::variant<NativeRequest, ApiError> ParseNativeRequest(std::string_view body, const ServedModel& model) {
  BodyReader reader(body, kNativeRequest, model.ignore_unknown_fields);
  JsonFields& fields = reader.fields();

  NativeRequest native;
  GenerationRequest& request = native.completion.generation;
  ReadSharedFields(fields, model, request);
  const auto probabilities = static_cast<int32_t>(fields.Integer("n_probs", 0, 0, model.max_logprobs));
  if (probabilities > 0) request.request.sampling.top_logprobs = probabilities;
  native.return_tokens = fields.Bool("return_tokens", false);
  const std::optional<int64_t> max_tokens = ReadMaxTokens(fields, "max_tokens", 0);
  native.n_predict = ReadMaxTokens(fields, "n_predict", 0).value_or(max_tokens.value_or(kNoLimit));
  if (const std::optional<std::string> grammar = fields.String("grammar"); grammar && !grammar->empty()) {
    AskForContent(fields, {model::ConstraintKind::kGrammar, *grammar}, "grammar", request.form);
  }
  if (const Json* schema = fields.Any("json_schema");
      schema != nullptr && !schema->empty() && *schema != "") {
    AskForContent(fields,
                  {model::ConstraintKind::kJsonSchema,
                   schema->is_string() ? schema->get<std::string>() : schema->dump()},
                  "json_schema", request.form);
  }
  if (!reader.error()) ReadPrompts(fields, /*add_special_tokens=*/true, model, native.completion);
  fields.RefuseOthers();
  request.ignored_fields = reader.ignored();
  if (reader.error()) return *reader.error();
  if (std::optional<ApiError> error = SettleCompletion(model, native.n_predict, kNoLimit, request))
    return *std::move(error);
  native.cut_to_room = native.n_predict == kNoLimit || request.request.max_tokens < native.n_predict;
  return native;
}

}  // namespace deeprack::coordinator::llama_cpp
