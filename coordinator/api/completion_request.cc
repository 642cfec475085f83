#include "coordinator/api/completion_request.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/api/answer_form.h"
#include "coordinator/api/sampling_fields.h"

namespace deeprack::coordinator {
namespace {

constexpr size_t kMaxPrompts = 128;
constexpr int32_t kMaxChoices = 256;
constexpr int64_t kDefaultMaxTokens = 16;  // as OpenAI

void AddTextPrompt(JsonFields& fields, const Json& text, const std::string& path, bool add_special_tokens,
                   const ServedModel& model, CompletionRequest& request) {
  absl::StatusOr<std::vector<TokenId>> ids =
      EncodePrompt(text.get_ref<const std::string&>(), add_special_tokens, model);
  if (!ids.ok())
    return fields.Fail(BadRequest("invalid_value", path, absl::StrCat(path, ": ", ids.status().message())));
  if (ids->empty())
    return fields.Fail(BadRequest("empty_prompt", path, path + " is empty: there is nothing to continue"));
  if (request.echo) {
    request.prompt_texts.push_back(text.get<std::string>());
    request.given_as_text.push_back(true);
  }
  request.generation.prompts.push_back(*std::move(ids));
}

void AddTokenPrompt(JsonFields& fields, const Json& array, const std::string& path, const ServedModel& model,
                    CompletionRequest& request) {
  std::optional<std::vector<TokenId>> ids = ReadTokenIds(fields, array, path, model);
  if (!ids) return;
  if (ids->empty())
    return fields.Fail(BadRequest("empty_prompt", path, path + " is empty: there is nothing to continue"));
  if (request.echo) {
    request.prompt_texts.push_back(model.tokenizer->Decode(*ids, request.generation.text.show_special));
    request.given_as_text.push_back(false);
  }
  request.generation.prompts.push_back(*std::move(ids));
}

// The number of likely tokens at each position. -1: no log-probabilities. true asks for the token's own, as
// 0.
int32_t ReadLogprobs(JsonFields& fields, const ServedModel& model) {
  const Json* value = fields.Any("logprobs");
  if (value == nullptr) return -1;
  if (value->is_boolean()) return value->get<bool>() ? 0 : -1;
  return static_cast<int32_t>(fields.Integer("logprobs", -1, 0, model.max_logprobs));
}

}  // namespace

// `prompt` is a string, an array of strings, an array of token ids, or an array of arrays of token ids.
void ReadPrompts(JsonFields& fields, bool add_special_tokens, const ServedModel& model,
                 CompletionRequest& request) {
  const Json* prompt = fields.Any("prompt");
  if (prompt == nullptr) return fields.Fail(BadRequest("missing_field", "prompt", "prompt is missing"));
  if (prompt->is_string())
    return AddTextPrompt(fields, *prompt, "prompt", add_special_tokens, model, request);
  if (!prompt->is_array() || prompt->empty()) {
    return fields.Fail(
        BadRequest("invalid_type", "prompt",
                   "prompt must be a string, an array of strings, an array of token ids, or an array "
                   "of such arrays; none may be empty"));
  }
  if (prompt->front().is_number()) return AddTokenPrompt(fields, *prompt, "prompt", model, request);
  if (fields.Array("prompt", kMaxPrompts) == nullptr) return;
  for (size_t i = 0; i < prompt->size() && !fields.failed(); ++i) {
    const Json& item = (*prompt)[i];
    const std::string path = absl::StrCat("prompt[", i, "]");
    if (item.is_string()) {
      AddTextPrompt(fields, item, path, add_special_tokens, model, request);
    } else if (item.is_array()) {
      AddTokenPrompt(fields, item, path, model, request);
    } else {
      fields.Fail(BadRequest(
          "invalid_type", path,
          absl::StrCat(path, " must be a string or an array of token ids, not ", item.type_name())));
    }
  }
}

absl::StatusOr<std::vector<TokenId>> EncodePrompt(std::string_view text, bool add_special_tokens,
                                                  const ServedModel& model, bool parse_special) {
  DR_ASSIGN_OR_RETURN(std::vector<TokenId> ids, model.tokenizer->Encode(text, parse_special));
  const std::optional<TokenId>& bos = model.bos_token_id;
  if (add_special_tokens && bos && (ids.empty() || ids.front() != *bos)) ids.insert(ids.begin(), *bos);
  return ids;
}

std::optional<std::vector<TokenId>> ReadTokenIds(JsonFields& fields, const Json& array,
                                                 const std::string& path, const ServedModel& model) {
  std::vector<TokenId> ids;
  ids.reserve(array.size());
  for (size_t i = 0; i < array.size(); ++i) {
    const Json& value = array[i];
    if (!value.is_number_integer() || value < 0 || value >= model.vocab_size) {
      const std::string at = absl::StrCat(path, "[", i, "]");
      fields.Fail(BadRequest("invalid_token_id", at,
                             absl::StrCat(at, " is ", value.is_number() ? value.dump() : value.type_name(),
                                          "; token ids are integers from 0 to ", model.vocab_size - 1)));
      return std::nullopt;
    }
    ids.push_back(value.get<TokenId>());
  }
  return ids;
}

std::optional<ApiError> SettleCompletion(const ServedModel& model, std::optional<int64_t> max_tokens,
                                         int64_t absent, GenerationRequest& request) {
  if (request.choices() > kMaxChoices) {
    return InvalidValue(
        "n", absl::StrCat(request.prompts.size(), " prompts with n = ", request.n, " are ", request.choices(),
                          " answers; at most ", kMaxChoices, " are accepted"));
  }
  if (std::optional<ApiError> error = SettleForm(request.form, {}, "", request)) return error;
  return SettleMaxTokens(model, max_tokens, absent, request);
}

std::variant<CompletionRequest, ApiError> ParseCompletionRequest(std::string_view body,
                                                                 const ServedModel& model) {
  BodyReader reader(body, kCompletionRequest, model.ignore_unknown_fields);
  JsonFields& fields = reader.fields();

  CompletionRequest completion;
  GenerationRequest& request = completion.generation;
  ReadSharedFields(fields, model, request);
  completion.echo = fields.Bool("echo", false);
  request.request.sampling.top_logprobs = ReadLogprobs(fields, model);
  if (completion.echo) request.request.prompt_logprobs = request.request.sampling.top_logprobs;
  ReadPromptLogprobs(fields, model, request);
  std::optional<int64_t> max_tokens = ReadMaxTokens(fields, "max_tokens", 0);
  const std::optional<int64_t> n_predict = ReadMaxTokens(fields, "n_predict", 0);  // llama.cpp's name
  if (!max_tokens) max_tokens = n_predict;
  ReadTextFormat(fields, "response_format", kResponseFormat, request.form);
  const bool add_special_tokens = fields.Bool("add_special_tokens", true);
  if (!reader.error()) ReadPrompts(fields, add_special_tokens, model, completion);
  fields.RefuseOthers();
  request.ignored_fields = reader.ignored();
  if (reader.error()) return *reader.error();
  std::optional<ApiError> error = SettleCompletion(model, max_tokens, kDefaultMaxTokens, request);
  if (error) return *std::move(error);
  return completion;
}

}  // namespace deeprack::coordinator
