#include "coordinator/chat/tool_call_tags.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace deeprack::coordinator {
namespace {

using Json = nlohmann::ordered_json;

Json Marker(std::optional<TokenId> token) { return {{"type", "token"}, {"token", *token}}; }
Json Constant(const std::string& text) { return {{"type", "const_string"}, {"value", text}}; }
Json Sequence(Json elements) { return {{"type", "sequence"}, {"elements", std::move(elements)}}; }
Json Schema(const std::string& schema) {
  return {{"type", "json_schema"}, {"json_schema", Json::parse(schema)}};
}
Json Star(Json content) { return {{"type", "star"}, {"content", std::move(content)}}; }

Json OneOf(Json elements) {
  if (elements.size() == 1) return elements[0];
  return {{"type", "or"}, {"elements", std::move(elements)}};
}

// A call without its markers: name and arguments.
Json Inside(const ReplyFormat& format, const CallableFunction& function) {
  switch (format.tool_calls) {
    case ToolCallForm::kDeepSeekR1:
      return Sequence({Constant(absl::StrCat(function.name, "\n```json\n")), Schema(function.parameters),
                       Constant("\n```")});
    case ToolCallForm::kDeepSeekV31:
      return Sequence({Constant(function.name), Marker(format.tool_sep), Schema(function.parameters)});
    default:
      return Sequence(
          {Constant(absl::StrCat("\n{\"name\": ", Json(function.name).dump(), ", \"arguments\": ")),
           Schema(function.parameters), Constant("}\n")});
  }
}

Json Call(const ReplyFormat& format, std::span<const CallableFunction> functions) {
  Json inside = Json::array();
  for (const CallableFunction& function : functions) inside.push_back(Inside(format, function));
  Json elements = Json::array({Marker(format.tool_call_begin)});
  if (format.tool_calls == ToolCallForm::kDeepSeekR1) {
    elements.push_back(Constant("function"));
    elements.push_back(Marker(format.tool_sep));
  }
  elements.push_back(OneOf(std::move(inside)));
  elements.push_back(Marker(format.tool_call_end));
  return Sequence(std::move(elements));
}

// One call or more, with the markers of a list where the form has them.
Json Calls(const ReplyFormat& format, std::span<const CallableFunction> functions, bool many) {
  const Json call = Call(format, functions);
  Json elements = Json::array();
  if (format.tool_calls_begin) elements.push_back(Marker(format.tool_calls_begin));
  elements.push_back(call);
  if (many) {
    // V3.1 writes nothing between calls, the other forms a line feed.
    elements.push_back(
        Star(format.tool_calls == ToolCallForm::kDeepSeekV31 ? call : Sequence({Constant("\n"), call})));
  }
  if (format.tool_calls_end) elements.push_back(Marker(format.tool_calls_end));
  return Sequence(std::move(elements));
}

std::string Tag(Json format) {
  return Json{{"type", "structural_tag"}, {"format", std::move(format)}}.dump();
}

}  // namespace

std::string ToolCallTags(const ReplyFormat& format, std::span<const CallableFunction> functions, bool many,
                         const std::string& or_schema) {
  Json calls = Calls(format, functions, many);
  if (or_schema.empty()) return Tag(std::move(calls));
  return Tag(OneOf({std::move(calls), Schema(or_schema)}));
}

std::string RepeatedToolCallTags(const ReplyFormat& format, std::span<const CallableFunction> functions,
                                 bool many) {
  // In a free answer each call of the Hermes form is a text of its own.
  const bool list = format.tool_calls_begin.has_value();
  return Tag(Star(Calls(format, functions, many && list)));
}

std::vector<TokenId> CallBeginnings(const ReplyFormat& format) {
  return {format.tool_calls_begin ? *format.tool_calls_begin : *format.tool_call_begin};
}

std::vector<TokenId> CallMarkers(const ReplyFormat& format) {
  std::vector<TokenId> markers;
  for (const std::optional<TokenId>& marker :
       {format.tool_calls_begin, format.tool_calls_end, format.tool_call_begin, format.tool_call_end,
        format.tool_sep}) {
    if (marker) markers.push_back(*marker);
  }
  return markers;
}

bool HasCallTags(const ReplyFormat& format) {
  return format.tool_calls != ToolCallForm::kNone && format.tool_call_begin && format.tool_call_end;
}

}  // namespace deeprack::coordinator
