// POST /tokenize: {prompt, add_special_tokens?, return_token_strs?} or
// {messages, tools?, add_generation_prompt?, continue_final_message?, chat_template_kwargs?,
// return_token_strs?}
// -> {count, max_model_len, tokens, token_strs}, as in vLLM.
#include <optional>
#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/chat_request.h"
#include "coordinator/api/completion_request.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/sampling_fields.h"

namespace deeprack::coordinator {
namespace {

absl::StatusOr<std::vector<TokenId>> TokenizeChat(const ChatPrompt& chat, const ServedModel& model) {
  if (!model.chat_template) return absl::InvalidArgumentError("this model's tokenizer has no chat tokens");
  absl::StatusOr<RenderedChat> rendered = model.chat_template->Render(chat);
  if (!rendered.ok()) return rendered.status();
  return std::move(rendered->ids);
}

HttpResponse Answer(ApiContext& context, const std::string& request) {
  const ServedModel& model = context.model();
  std::variant<Json, ApiError> parsed = ParseBody(request);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return ErrorResponse(*error);
  std::optional<ApiError> error;
  Json& object = std::get<Json>(parsed);
  // Clients with typed requests send the field of the other form as null.
  for (const char* form : {"messages", "prompt"}) {
    if (object.contains(form) && object[form].is_null()) object.erase(form);
  }
  const bool chat_given = object.contains("messages");
  UnknownFields unknown{.ignore = model.ignore_unknown_fields};
  JsonFields fields(object, chat_given ? kTokenizeChat : kTokenizeText, "", &error, &unknown);
  ReadModelField(fields, model);
  const bool return_strings = fields.Bool("return_token_strs", false);

  absl::StatusOr<std::vector<TokenId>> ids = std::vector<TokenId>();
  if (chat_given) {
    const ChatPrompt chat = ReadChatPrompt(fields);
    fields.RefuseOthers();
    if (!error) ids = TokenizeChat(chat, model);
  } else {
    const std::optional<std::string> prompt = fields.String("prompt");
    const bool add_special_tokens = fields.Bool("add_special_tokens", true);
    fields.RefuseOthers();
    if (!prompt) fields.Fail(BadRequest("missing_field", "prompt", "either prompt or messages is needed"));
    if (!error) ids = EncodePrompt(*prompt, add_special_tokens, model);
  }
  if (error) return ErrorResponse(*error);
  if (!ids.ok()) return ErrorResponse(FromStatus(ids.status()));
  context.metrics().ObserveIgnoredFields(unknown.ignored);

  Json body = {{"count", ids->size()},
               {"max_model_len", model.max_context.load()},
               {"tokens", *ids},
               {"token_strs", nullptr}};
  if (return_strings) {
    Json& strings = body["token_strs"] = Json::array();
    for (const TokenId id : *ids) strings.push_back(model.tokenizer->Decode({&id, 1}, /*show_special=*/true));
  }
  return JsonResponse(body);
}

}  // namespace

std::function<void()> Tokenize(ApiContext& context, const ApiRequest& request,
                               const std::shared_ptr<HttpExchange>& exchange) {
  return Answering(exchange, Answer(context, request.body()));
}

}  // namespace deeprack::coordinator
