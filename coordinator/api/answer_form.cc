#include "coordinator/api/answer_form.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "constraint/schema_check.h"
#include "coordinator/chat/tool_call_tags.h"

namespace deeprack::coordinator {
namespace {

using model::ConstraintKind;
using model::ConstraintSpec;

constexpr const char* kAnyObject = R"({"type":"object"})";

// A schema: an object, true, or (in structured_outputs) its text.
std::string SchemaText(JsonFields& fields, const Json& schema, const std::string& path) {
  if (schema.is_object() || schema.is_boolean()) return schema.dump();
  if (schema.is_string()) return schema.get<std::string>();
  fields.Fail(BadRequest("invalid_type", path, absl::StrCat(path, " must be a JSON schema, an object")));
  return "{}";
}

// Reads `schema`; the other members are labels.
void ReadSchema(JsonFields& fields, const std::string& field, AnswerForm& form) {
  const Json* schema = fields.Any("schema");
  if (schema == nullptr) {
    return fields.Fail(
        BadRequest("missing_field", fields.Path("schema"), fields.Path("schema") + " is missing"));
  }
  std::string text = SchemaText(fields, *schema, fields.Path("schema"));
  AskForContent(fields, {ConstraintKind::kJsonSchema, std::move(text)}, field, form);
}

std::string NameOf(const std::string& tool) { return Json::parse(tool).value("name", std::string()); }

bool IsStrict(const AnswerForm& form, const std::string& name) {
  return std::find(form.strict_tools.begin(), form.strict_tools.end(), name) != form.strict_tools.end();
}

// The function's schema of arguments. A schema that is not supported is an error of a strict tool; another
// tool then takes any object.
std::variant<std::string, ApiError> ParametersOf(const std::string& tool, size_t index, bool strict) {
  const Json function = Json::parse(tool);
  const auto parameters = function.find("parameters");
  if (parameters == function.end() || parameters->is_null() || *parameters == Json::object())
    return kAnyObject;
  const std::string schema = parameters->dump();
  const absl::StatusOr<std::string> checked = constraint::CheckSchema(schema);
  if (checked.ok()) return schema;
  if (!strict) return kAnyObject;
  const std::string path = absl::StrCat("tools[", index, "].function.parameters");
  return Unsupported(path, absl::StrCat(path, ": ", std::string(checked.status().message())));
}

model::OutputStart StartOf(const TextOptions& text) {
  if (!text.format || !text.format->think_end) return model::OutputStart::kAnswer;
  switch (text.reasoning) {
    case ReasoningStart::kOpenByPrompt:
    case ReasoningStart::kUntilThinkEnd:
      return model::OutputStart::kThinking;
    case ReasoningStart::kMayOpen:
      return model::OutputStart::kMayThink;
    case ReasoningStart::kNone:
      return model::OutputStart::kAnswer;
  }
  return model::OutputStart::kAnswer;
}

}  // namespace

void AskForContent(JsonFields& fields, ConstraintSpec spec, const std::string& field, AnswerForm& form) {
  if (form.content) {
    return fields.Fail(BadRequest("invalid_request", field,
                                  absl::StrCat(field, " and ", form.content_field,
                                               " both ask for the answer's form: send one of them")));
  }
  form.content = std::move(spec);
  form.content_field = field;
}

void ReadTextFormat(JsonFields& fields, std::string_view name, const RequestObject& kind, AnswerForm& form) {
  const Json* format = fields.Object(name);
  if (format == nullptr) return;
  const std::string path = fields.Path(name);
  JsonFields inner(*format, kind, path + ".", fields);
  const std::string type = inner.String("type").value_or("");
  if (type == "json_object") {
    AskForContent(inner, {ConstraintKind::kJsonObject, ""}, path, form);
  } else if (type == "json_schema") {
    const Json* described = kind.Find("json_schema") == nullptr ? format : inner.Object("json_schema");
    if (described == format) {
      ReadSchema(inner, path, form);
    } else if (described != nullptr) {
      JsonFields members(*described, kJsonSchemaFormat, path + ".json_schema.", fields);
      ReadSchema(members, path, form);
      members.RefuseOthers();
    } else {
      inner.Fail(BadRequest("missing_field", path + ".json_schema", path + ".json_schema is missing"));
    }
  } else if (type != "text") {
    inner.Fail(Unsupported(
        path + ".type",
        absl::StrCat(path, ".type \"", type, "\" is not supported: use text, json_object or json_schema")));
  }
  inner.RefuseOthers();
}

void ReadStructuredOutputs(JsonFields& fields, AnswerForm& form) {
  const Json* object = fields.Object("structured_outputs");
  if (object == nullptr) return;
  const std::string path = fields.Path("structured_outputs");
  JsonFields inner(*object, kStructuredOutputs, path + ".", fields);
  if (const Json* schema = inner.Any("json")) {
    AskForContent(inner, {ConstraintKind::kJsonSchema, SchemaText(inner, *schema, inner.Path("json"))},
                  inner.Path("json"), form);
  }
  if (inner.Bool("json_object", false))
    AskForContent(inner, {ConstraintKind::kJsonObject, ""}, inner.Path("json_object"), form);
  if (std::optional<std::string> regex = inner.String("regex")) {
    AskForContent(inner, {ConstraintKind::kRegex, *std::move(regex)}, inner.Path("regex"), form);
  }
  if (const Json* choices = inner.Array("choice", 1000)) {
    AskForContent(inner, {ConstraintKind::kChoice, choices->dump()}, inner.Path("choice"), form);
  }
  if (std::optional<std::string> grammar = inner.String("grammar")) {
    AskForContent(inner, {ConstraintKind::kGrammar, *std::move(grammar)}, inner.Path("grammar"), form);
  }
  if (!form.content) {
    inner.Fail(
        BadRequest("invalid_request", path,
                   absl::StrCat(path, " must have one of json, json_object, regex, choice and grammar")));
  }
  inner.RefuseOthers();
}

void RequireCall(JsonFields& fields, const std::string& field, const std::string& name,
                 const std::vector<std::string>& tools, AnswerForm& form) {
  form.calls_required = true;
  form.call_name = name;
  if (tools.empty()) {
    return fields.Fail(BadRequest("invalid_request", field,
                                  absl::StrCat(field, " demands a call, and the request has no tools")));
  }
  const bool known = name.empty() || std::any_of(tools.begin(), tools.end(), [&](const std::string& tool) {
                       return NameOf(tool) == name;
                     });
  if (!known)
    fields.Fail(InvalidValue(
        field, absl::StrCat(field, " names the function \"", name, "\", which is not among the tools")));
}

void ReadToolChoice(JsonFields& fields, std::vector<std::string>& tools, AnswerForm& form) {
  const Json* choice = fields.Any("tool_choice");
  if (choice == nullptr || *choice == "auto") return;
  const std::string path = fields.Path("tool_choice");
  if (*choice == "none") return tools.clear();
  if (*choice == "required") return RequireCall(fields, path, "", tools, form);
  if (choice->is_object() && choice->value("type", Json()) == "function") {
    const Json& function = choice->contains("function") ? (*choice)["function"] : *choice;
    const Json name = function.is_object() ? function.value("name", Json()) : Json();
    if (name.is_string()) return RequireCall(fields, path, name.get<std::string>(), tools, form);
  }
  fields.Fail(
      Unsupported("tool_choice", absl::StrCat("tool_choice ", choice->dump(),
                                              " is not supported: use \"auto\", \"none\", \"required\" or "
                                              "{\"type\": \"function\", \"function\": {\"name\": ...}}")));
}

std::optional<ApiError> SettleForm(const AnswerForm& form, const std::vector<std::string>& tools,
                                   const std::string& prefix, GenerationRequest& request) {
  const bool strict = !tools.empty() && !form.strict_tools.empty();
  const bool calls = form.calls_required || (!tools.empty() && (form.content || strict));
  if (!form.content && !calls) return std::nullopt;
  if (form.content && form.calls_required) {
    return BadRequest(
        "invalid_request", form.content_field,
        absl::StrCat(form.content_field, " asks for text, and tool_choice demands a call: send one of them"));
  }
  if (request.request.min_tokens > 0 && (form.content || form.calls_required)) {
    return BadRequest(
        "invalid_request", "min_tokens",
        absl::StrCat("min_tokens does not go with ", form.content ? form.content_field : "tool_choice",
                     ", which says where the answer ends"));
  }
  const TextOptions& text = request.text;
  model::Constraint constraint{.prefix = prefix, .start = StartOf(text)};
  if (constraint.start != model::OutputStart::kAnswer) {
    constraint.think_begin = *text.format->think_begin;
    constraint.think_end = *text.format->think_end;
  }
  const bool whole = form.content || form.calls_required;
  if (whole) constraint.not_while_thinking = request.request.stop_token_ids;
  if (calls) {
    if (!text.format || !HasCallTags(*text.format)) {
      if (!form.calls_required && !form.content)
        return std::nullopt;  // the model calls tools in no form known here
      return Unsupported(form.calls_required ? "tool_choice" : "tools",
                         "this model's chat template writes tool calls in no form that this server knows: "
                         "calls cannot be demanded");
    }
    std::vector<CallableFunction> functions;
    for (size_t i = 0; i < tools.size(); ++i) {
      std::string name = NameOf(tools[i]);
      if (!form.call_name.empty() && name != form.call_name) continue;
      std::variant<std::string, ApiError> parameters = ParametersOf(tools[i], i, IsStrict(form, name));
      if (ApiError* error = std::get_if<ApiError>(&parameters)) return *std::move(error);
      functions.push_back({std::move(name), std::get<std::string>(std::move(parameters))});
    }
    const ReplyFormat& format = *text.format;
    if (!whole) constraint.triggers = CallBeginnings(format);
    for (const TokenId marker : CallMarkers(format)) {
      // A call that is not demanded may end the thought.
      const std::vector<TokenId>& triggers = constraint.triggers;
      if (std::find(triggers.begin(), triggers.end(), marker) == triggers.end())
        constraint.not_while_thinking.push_back(marker);
    }
    // One call of a named function, as in OpenAI's API.
    const bool many = !text.one_tool_call && form.call_name.empty();
    if (!whole) {
      constraint.spec = {ConstraintKind::kTags, RepeatedToolCallTags(format, functions, many)};
    } else {
      std::string schema;
      if (form.content) {
        if (form.content->kind != ConstraintKind::kJsonSchema &&
            form.content->kind != ConstraintKind::kJsonObject) {
          return BadRequest("invalid_request", form.content_field,
                            absl::StrCat(form.content_field, " does not go with tools: only JSON does"));
        }
        schema = form.content->kind == ConstraintKind::kJsonObject ? kAnyObject : form.content->text;
        if (const absl::StatusOr<std::string> checked = constraint::CheckSchema(schema); !checked.ok()) {
          return Unsupported(form.content_field,
                             absl::StrCat(form.content_field, ": ", std::string(checked.status().message())));
        }
      }
      constraint.spec = {ConstraintKind::kTags, ToolCallTags(format, functions, many, schema)};
    }
  } else {
    constraint.spec = *form.content;
  }
  std::sort(constraint.not_while_thinking.begin(), constraint.not_while_thinking.end());
  request.request.constraint = std::move(constraint);
  request.constraint_field = form.content          ? form.content_field
                             : form.calls_required ? "tool_choice"
                                                   : "tools";
  return std::nullopt;
}

}  // namespace deeprack::coordinator
