#include "coordinator/api/anthropic/content_blocks.h"

#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/api/anthropic/message_fields.h"

namespace deeprack::coordinator::anthropic {
namespace {

constexpr size_t kMaxBlocks = 4096;

std::string ReadText(const Json& block, const std::string& path, JsonFields& outer) {
  JsonFields fields(block, kTextBlock, path + ".", outer);
  fields.String("type");
  std::string text = fields.RequiredString("text");
  fields.RefuseOthers();
  return text;
}

std::string ReadThinking(const Json& block, const std::string& path, JsonFields& outer) {
  JsonFields fields(block, kThinkingBlock, path + ".", outer);
  fields.String("type");
  fields.String("signature");
  std::string thought = fields.RequiredString("thinking");
  fields.RefuseOthers();
  return thought;
}

void CheckRedactedThinking(const Json& block, const std::string& path, JsonFields& outer) {
  JsonFields fields(block, kRedactedThinkingBlock, path + ".", outer);
  fields.String("type");
  fields.String("data");
  fields.RefuseOthers();
}

ToolCall ReadToolUse(const Json& block, const std::string& path, JsonFields& outer) {
  JsonFields fields(block, kToolUseBlock, path + ".", outer);
  fields.String("type");
  ToolCall call;
  call.id = fields.RequiredString("id");
  call.name = fields.RequiredString("name");
  const Json* input = fields.Object("input");
  call.arguments = input == nullptr ? "{}" : input->dump();
  fields.RefuseOthers();
  if (call.name.empty()) {
    fields.Fail(InvalidValue(path + ".name", path + ".name is empty; it must be the name of a tool"));
  }
  return call;
}

// A tool_reference stands for a tool that a search found. The prompt describes every tool, so the name is
// enough.
std::string ReadToolReference(const Json& block, const std::string& path, JsonFields& outer) {
  JsonFields fields(block, kToolReferenceBlock, path + ".", outer);
  fields.String("type");
  std::string name = fields.RequiredString("tool_name");
  fields.RefuseOthers();
  return name;
}

// Visits the blocks of an array: each with its type and its path.
template <typename Visit>
void ForEachBlock(const Json& value, const std::string& path, JsonFields& outer, Visit visit) {
  if (!value.is_array()) {
    return outer.Fail(
        BadRequest("invalid_type", path,
                   absl::StrCat(path, " must be a string or an array of blocks, not ", value.type_name())));
  }
  if (value.size() > kMaxBlocks) {
    return outer.Fail(InvalidValue(
        path, absl::StrCat(path, " has ", value.size(), " blocks; at most ", kMaxBlocks, " are accepted")));
  }
  for (size_t i = 0; i < value.size() && !outer.failed(); ++i) {
    const Json& block = value[i];
    const std::string place = absl::StrCat(path, "[", i, "]");
    const auto type = block.find("type");
    if (!block.is_object() || type == block.end() || !type->is_string()) {
      return outer.Fail(
          BadRequest("invalid_type", place, place + " must be an object with a string \"type\""));
    }
    visit(block, type->get_ref<const std::string&>(), place);
  }
}

void RefuseType(std::string_view type, const std::string& path, std::string_view known, JsonFields& outer) {
  outer.Fail(
      Unsupported(path + ".type", absl::StrCat(path, ".type is \"", std::string(type),
                                               "\"; this model reads here only ", std::string(known))));
}

ToolResult ReadToolResult(const Json& block, const std::string& path, JsonFields& outer) {
  JsonFields fields(block, kToolResultBlock, path + ".", outer);
  fields.String("type");
  ToolResult result;
  result.tool_use_id = fields.RequiredString("tool_use_id");
  std::vector<std::string> pieces;
  if (const Json* content = fields.Any("content"); content != nullptr && content->is_string()) {
    pieces.push_back(content->get<std::string>());
  } else if (content != nullptr) {
    ForEachBlock(*content, fields.Path("content"), fields,
                 [&](const Json& piece, std::string_view type, const std::string& place) {
                   if (type == "text") return pieces.push_back(ReadText(piece, place, fields));
                   if (type == "tool_reference") {
                     return pieces.push_back(ReadToolReference(piece, place, fields));
                   }
                   RefuseType(type, place, "text and tool_reference", fields);
                 });
  }
  result.content =
      absl::StrCat(fields.Bool("is_error", false) ? "Error: " : "", absl::StrJoin(pieces, "\n\n"));
  fields.RefuseOthers();
  return result;
}

}  // namespace

MessageContent ReadContent(JsonFields& fields, const char* name, Speaker speaker) {
  MessageContent content;
  const std::string path = fields.Path(name);
  const Json* value = fields.Any(name);
  if (value == nullptr) {
    fields.Fail(BadRequest("missing_field", path, path + " is missing"));
    return content;
  }
  if (value->is_string()) {
    content.texts.push_back(value->get<std::string>());
    return content;
  }
  const auto read = [&](const Json& block, std::string_view type, const std::string& place) {
    if (type == "text") return content.texts.push_back(ReadText(block, place, fields));
    if (speaker == Speaker::kUser) {
      if (type == "tool_result") return content.results.push_back(ReadToolResult(block, place, fields));
      return RefuseType(type, place, "text and tool_result", fields);
    }
    if (speaker == Speaker::kSystem) return RefuseType(type, place, "text", fields);
    if (type == "thinking") return content.thoughts.push_back(ReadThinking(block, place, fields));
    if (type == "redacted_thinking") return CheckRedactedThinking(block, place, fields);
    if (type == "tool_use") return content.calls.push_back(ReadToolUse(block, place, fields));
    RefuseType(type, place, "text, thinking, redacted_thinking and tool_use", fields);
  };
  ForEachBlock(*value, path, fields, read);
  return content;
}

}  // namespace deeprack::coordinator::anthropic
