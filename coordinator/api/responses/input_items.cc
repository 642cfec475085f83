#include "coordinator/api/responses/input_items.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/api/responses/responses_fields.h"

namespace deeprack::coordinator {
namespace {

constexpr size_t kMaxItems = 4096;
constexpr size_t kMaxParts = 1024;
constexpr size_t kMaxIdBytes = 256;

// A required text with at least one byte.
std::string ReadName(JsonFields& fields, std::string_view name) {
  std::string value = fields.RequiredString(name);
  if (value.empty()) {
    fields.Fail(BadRequest("invalid_value", fields.Path(name), absl::StrCat(fields.Path(name), " is empty")));
  }
  return value;
}

// The client's id of an item, or a new one.
std::string ReadId(JsonFields& fields, const ItemSource& source, const char* prefix) {
  std::string id = fields.String("id").value_or("");
  if (id.size() > kMaxIdBytes) {
    fields.Fail(InvalidValue(fields.Path("id"),
                             absl::StrCat(fields.Path("id"), " has more than ", kMaxIdBytes, " bytes")));
  }
  return id.empty() ? source.make_id(prefix) : id;
}

std::string ReadStatus(JsonFields& fields) {
  std::string status = fields.String("status").value_or("completed");
  if (status != "completed" && status != "incomplete" && status != "in_progress") {
    fields.Fail(InvalidValue(fields.Path("status"),
                             absl::StrCat(fields.Path("status"), " is \"", status,
                                          "\"; it must be in_progress, completed or incomplete")));
  }
  return status;
}

// The content parts that one place takes, and the type that the item gives to texts there.
struct PartForm {
  const char* text_type;
  bool takes_refusals = false;
};

constexpr PartForm kInputPart = {"input_text"};
constexpr PartForm kAnswerPart = {"output_text", /*takes_refusals=*/true};
constexpr PartForm kThoughtPart = {"reasoning_text"};
constexpr PartForm kSummaryPart = {"summary_text"};

bool IsTextType(std::string_view type) {
  constexpr std::array<std::string_view, 5> kTypes = {"input_text", "output_text", "text", "reasoning_text",
                                                      "summary_text"};
  return std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end();
}

// A part with a text, which is a string.
Json TextPart(const PartForm& form, Json text) {
  Json part = {{"type", form.text_type}, {"text", std::move(text)}};
  if (form.takes_refusals) part["annotations"] = Json::array();
  return part;
}

Json ReadPart(JsonFields& item, const Json& value, const std::string& path, const PartForm& form) {
  if (!item.IsObject(value, path)) return {};
  JsonFields fields(value, kTextPart, path + ".", item);
  const std::string type = fields.String("type").value_or("");
  Json part;
  if (type == "refusal" && form.takes_refusals) {
    part = {{"type", "refusal"}, {"refusal", fields.RequiredString("refusal")}};
  } else if (IsTextType(type)) {
    part = TextPart(form, fields.RequiredString("text"));
  } else {
    item.Fail(Unsupported(
        path + ".type", absl::StrCat(path, ".type is \"", type, "\"; this model reads only texts, such as \"",
                                     form.text_type, "\" here")));
  }
  fields.RefuseOthers();
  return part;
}

Json ReadParts(JsonFields& fields, std::string_view name, const PartForm& form) {
  Json parts = Json::array();
  const Json* values = fields.Array(name, kMaxParts);
  for (size_t i = 0; values != nullptr && i < values->size() && !fields.failed(); ++i) {
    parts.push_back(ReadPart(fields, (*values)[i], absl::StrCat(fields.Path(name), "[", i, "]"), form));
  }
  return parts;
}

// A text, or an array of parts.
Json ReadTextOrParts(JsonFields& fields, std::string_view name, const PartForm& form) {
  const Json* value = fields.Any(name);
  if (value == nullptr) {
    fields.Fail(
        BadRequest("missing_field", fields.Path(name), absl::StrCat(fields.Path(name), " is missing")));
    return Json::array();
  }
  if (value->is_string()) return *value;
  if (value->is_array()) return ReadParts(fields, name, form);
  fields.Fail(BadRequest(
      "invalid_type", fields.Path(name),
      absl::StrCat(fields.Path(name), " must be a string or an array of parts, not ", value->type_name())));
  return Json::array();
}

Json ReadMessage(JsonFields& request, const Json& value, const std::string& path, const ItemSource& source) {
  JsonFields fields(value, kMessageItem, path + ".", request);
  fields.String("type");
  const std::string role = fields.String("role").value_or("");
  if (role != "user" && role != "assistant" && role != "system" && role != "developer") {
    fields.Fail(InvalidValue(
        path + ".role",
        absl::StrCat(path, ".role is \"", role, "\"; it must be user, assistant, system or developer")));
  }
  const PartForm& form = role == "assistant" ? kAnswerPart : kInputPart;
  Json content = ReadTextOrParts(fields, "content", form);
  if (content.is_string()) {
    content = Json::array({TextPart(form, std::move(content))});
  }
  Json item = {{"id", ReadId(fields, source, "msg_")},
               {"type", "message"},
               {"role", role},
               {"status", ReadStatus(fields)},
               {"content", std::move(content)}};
  fields.RefuseOthers();
  return item;
}

Json ReadFunctionCall(JsonFields& request, const Json& value, const std::string& path,
                      const ItemSource& source) {
  JsonFields fields(value, kFunctionCallItem, path + ".", request);
  Json item = {{"id", ReadId(fields, source, "fc_")},
               {"type", "function_call"},
               {"call_id", ReadName(fields, "call_id")},
               {"name", ReadName(fields, "name")},
               {"arguments", fields.RequiredString("arguments")},
               {"status", ReadStatus(fields)}};
  fields.RefuseOthers();
  return item;
}

Json ReadFunctionOutput(JsonFields& request, const Json& value, const std::string& path,
                        const ItemSource& source) {
  JsonFields fields(value, kFunctionOutputItem, path + ".", request);
  Json item = {{"id", ReadId(fields, source, "fco_")},
               {"type", "function_call_output"},
               {"call_id", ReadName(fields, "call_id")},
               {"output", ReadTextOrParts(fields, "output", kInputPart)},
               {"status", ReadStatus(fields)}};
  fields.RefuseOthers();
  return item;
}

Json ReadReasoning(JsonFields& request, const Json& value, const std::string& path,
                   const ItemSource& source) {
  JsonFields fields(value, kReasoningItem, path + ".", request);
  Json item = {{"id", ReadId(fields, source, "rs_")},
               {"type", "reasoning"},
               {"summary", ReadParts(fields, "summary", kSummaryPart)},
               {"content", ReadParts(fields, "content", kThoughtPart)},
               {"status", ReadStatus(fields)}};
  fields.RefuseOthers();
  return item;
}

// An item without a type is a message if it has a role, and else a reference.
std::string TypeOf(const Json& value) {
  const auto type = value.find("type");
  if (type != value.end() && type->is_string()) return type->get<std::string>();
  if (type != value.end() && !type->is_null()) return "";
  return value.contains("role") ? "message" : value.contains("id") ? "item_reference" : "";
}

class InputReader {
 public:
  InputReader(JsonFields& request, const ItemSource& source, Conversation& conversation)
      : request_(request), source_(source), conversation_(conversation) {}

  void Read(const Json& value, const std::string& path) {
    if (!request_.IsObject(value, path)) return;
    const std::string type = TypeOf(value);
    if (type == "item_reference") return ReadReference(value, path);
    Json item;
    if (type == "message") {
      item = ReadMessage(request_, value, path, source_);
    } else if (type == "function_call") {
      item = ReadFunctionCall(request_, value, path, source_);
    } else if (type == "function_call_output") {
      item = ReadFunctionOutput(request_, value, path, source_);
    } else if (type == "reasoning") {
      item = ReadReasoning(request_, value, path, source_);
    } else {
      return request_.Fail(Unsupported(
          path + ".type", absl::StrCat(path, ".type is \"", type,
                                       "\"; an item is a message, a function_call, a function_call_output, "
                                       "a reasoning or an item_reference")));
    }
    if (!request_.failed()) Append(std::move(item));
  }

  void Append(Json item) {
    conversation_.push_back(std::make_shared<const ConversationItem>(
        ConversationItem{.id = item["id"].get<std::string>(), .json = item.dump()}));
  }

 private:
  void ReadReference(const Json& value, const std::string& path) {
    JsonFields fields(value, kItemReference, path + ".", request_);
    const std::string id = ReadName(fields, "id");
    fields.RefuseOthers();
    if (request_.failed()) return;
    const auto has_id = [&](const auto& item) { return item->id == id; };
    if (std::any_of(conversation_.begin(), conversation_.end(), has_id)) return;
    std::shared_ptr<const ConversationItem> item = source_.find(id);
    if (item != nullptr) return conversation_.push_back(std::move(item));
    ApiError missing =
        BadRequest("item_not_found", path + ".id",
                   absl::StrCat("Item with id '", id, "' not found: no stored response has it. ",
                                "Send the item itself."));
    missing.status = 404;
    request_.Fail(std::move(missing));
  }

  JsonFields& request_;
  const ItemSource& source_;
  Conversation& conversation_;
};

}  // namespace

void ReadInput(JsonFields& fields, const ItemSource& source, Conversation& conversation) {
  const Json* input = fields.Any("input");
  if (input == nullptr) return fields.Fail(BadRequest("missing_field", "input", "input is missing"));
  InputReader reader(fields, source, conversation);
  if (input->is_string()) {
    reader.Append({{"id", source.make_id("msg_")},
                   {"type", "message"},
                   {"role", "user"},
                   {"status", "completed"},
                   {"content", Json::array({{{"type", "input_text"}, {"text", *input}}})}});
  } else if (!input->is_array()) {
    fields.Fail(
        BadRequest("invalid_type", "input",
                   absl::StrCat("input must be a string or an array of items, not ", input->type_name())));
  } else if (const Json* items = fields.Array("input", kMaxItems)) {
    for (size_t i = 0; i < items->size() && !fields.failed(); ++i)
      reader.Read((*items)[i], absl::StrCat("input[", i, "]"));
  }
}

}  // namespace deeprack::coordinator
