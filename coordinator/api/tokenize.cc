// POST /tokenize: {prompt, add_special_tokens?, return_token_strs?} or
// {messages, tools?, add_generation_prompt?, continue_final_message?, chat_template_kwargs?,
// return_token_strs?}
// -> {count, max_model_len, tokens, token_strs}, as in vLLM. Also, as in llama.cpp,
// {content, add_special?, parse_special?, with_pieces?} -> tokens.
#include <optional>
#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/chat_request.h"
#include "coordinator/api/completion_request.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/sampling_fields.h"
#include "coordinator/tokenizer/utf8.h"

namespace deeprack::coordinator {
namespace {

// llama.cpp's form. Its texts have no begin token unless the request asks for one.
absl::StatusOr<std::vector<TokenId>> TokenizeContent(JsonFields& fields, const ServedModel& model) {
  const std::string content = fields.RequiredString("content");
  const bool add_special = fields.Bool("add_special", false);
  const bool parse_special = fields.Bool("parse_special", true);
  fields.RefuseOthers();
  if (fields.failed()) return std::vector<TokenId>();
  return EncodePrompt(content, add_special, model, parse_special);
}

absl::StatusOr<std::vector<TokenId>> TokenizePrompt(JsonFields& fields, const ServedModel& model) {
  const std::optional<std::string> prompt = fields.String("prompt");
  const bool add_special_tokens = fields.Bool("add_special_tokens", true);
  fields.RefuseOthers();
  if (!prompt) fields.Fail(BadRequest("missing_field", "prompt", "either prompt or messages is needed"));
  if (fields.failed()) return std::vector<TokenId>();
  return EncodePrompt(*prompt, add_special_tokens, model);
}

absl::StatusOr<std::vector<TokenId>> TokenizeChat(JsonFields& fields, const ServedModel& model) {
  AnswerForm form;  // no matter for the prompt
  const ChatPrompt chat = ReadChatPrompt(fields, form);
  fields.RefuseOthers();
  if (fields.failed()) return std::vector<TokenId>();
  if (!model.chat_template) return absl::InvalidArgumentError("this model's tokenizer has no chat tokens");
  absl::StatusOr<RenderedChat> rendered = model.chat_template->Render(chat);
  if (!rendered.ok()) return rendered.status();
  return std::move(rendered->ids);
}

// One of the three forms of the request.
struct Form {
  const RequestObject& fields;
  absl::StatusOr<std::vector<TokenId>> (*tokenize)(JsonFields& fields, const ServedModel& model);
};

// The fields of the request say which form it has.
Form FormOf(const Json& request) {
  if (request.contains("messages")) return {kTokenizeChat, TokenizeChat};
  if (request.contains("content")) return {kTokenizeContent, TokenizeContent};
  return {kTokenizeText, TokenizePrompt};
}

// {"id", "piece"}, as in llama.cpp: a piece that is not UTF-8 is an array of bytes.
Json PieceJson(TokenId id, const Tokenizer& tokenizer) {
  const std::string_view bytes = tokenizer.TokenBytes(id, /*show_special=*/true);
  if (!FirstInvalidUtf8(bytes)) return {{"id", id}, {"piece", bytes}};
  return {{"id", id}, {"piece", BytesJson(bytes)}};
}

HttpResponse TokenizeAnswer(ApiContext& context, const std::string& request) {
  const ServedModel& model = context.model();
  std::variant<Json, ApiError> parsed = ParseBody(request);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return ErrorResponse(*error);
  std::optional<ApiError> error;
  Json& object = std::get<Json>(parsed);
  // Clients with typed requests send the fields of the other forms as null.
  for (const char* form : {"messages", "content", "prompt"}) {
    if (object.contains(form) && object[form].is_null()) object.erase(form);
  }
  const Form form = FormOf(object);
  UnknownFields unknown{.ignore = model.ignore_unknown_fields};
  JsonFields fields(object, form.fields, "", &error, &unknown);
  ReadModelField(fields, model);
  const bool return_strings = fields.Bool("return_token_strs", false);
  const bool with_pieces = &form.fields == &kTokenizeContent && fields.Bool("with_pieces", false);

  const absl::StatusOr<std::vector<TokenId>> ids = form.tokenize(fields, model);
  if (error) return ErrorResponse(*error);
  if (!ids.ok()) return ErrorResponse(FromStatus(ids.status()));
  context.metrics().ObserveIgnoredFields(unknown.ignored);

  Json body = {{"count", ids->size()},
               {"max_model_len", model.max_context.load()},
               {"tokens", *ids},
               {"token_strs", nullptr}};
  if (with_pieces) {
    Json& pieces = body["tokens"] = Json::array();
    for (const TokenId id : *ids) pieces.push_back(PieceJson(id, *model.tokenizer));
  }
  if (return_strings) {
    Json& strings = body["token_strs"] = Json::array();
    for (const TokenId id : *ids) strings.push_back(model.tokenizer->Decode({&id, 1}, /*show_special=*/true));
  }
  return JsonResponse(body);
}

}  // namespace

std::function<void()> Tokenize(ApiContext& context, const ApiRequest& request,
                               const std::shared_ptr<HttpExchange>& exchange) {
  return Answering(exchange, TokenizeAnswer(context, request.body()));
}

}  // namespace deeprack::coordinator
