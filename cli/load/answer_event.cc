#include "cli/load/answer_event.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "cli/http/event_stream.h"

namespace deeprack::cli {
namespace {

using Json = nlohmann::json;

constexpr size_t kLongestMessage = 300;
constexpr size_t kLongestCode = 64;

const Json* Member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found != object.end() && !found->is_null() ? &*found : nullptr;
}

int64_t Count(const Json* value) {
  return value != nullptr && value->is_number_integer() ? value->get<int64_t>() : -1;
}

// OpenAI's {"error": {"message", "code", "type"}}, {"error": "text"}, and vLLM's older {"message", "code"}.
void TakeError(const Json& error, AnswerEvent& event) {
  event.is_error = true;
  event.message = error.is_string() ? error.get<std::string>() : TextAt(error, "message");
  event.error_code = TextAt(error, "code");
  if (event.error_code.empty()) event.error_code = TextAt(error, "type");
  if (event.message.empty()) event.message = error.dump(-1, ' ', false, Json::error_handler_t::replace);
  event.message.resize(std::min(event.message.size(), kLongestMessage));
  event.error_code.resize(std::min(event.error_code.size(), kLongestCode));
}

}  // namespace

AnswerEvent ReadAnswerEvent(absl::string_view text) {
  AnswerEvent event;
  const Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return event;
  event.is_json = true;
  if (const Json* error = Member(json, "error")) {
    TakeError(*error, event);
    return event;
  }
  if (const Json* usage = Member(json, "usage")) {
    event.prompt_tokens = Count(Member(*usage, "prompt_tokens"));
    event.output_tokens = Count(Member(*usage, "completion_tokens"));
    if (const Json* details = Member(*usage, "prompt_tokens_details"))
      event.cached_tokens = Count(Member(*details, "cached_tokens"));
  }
  const Json* choices = Member(json, "choices");
  if (choices == nullptr || !choices->is_array() || choices->empty()) return event;
  event.has_choice = true;
  const Json& choice = choices->front();
  event.content = TextAt(choice, "text");
  if (const Json* delta = Member(choice, "delta")) {
    event.content += TextAt(*delta, "content");
    event.has_text = !TextAt(*delta, "reasoning_content").empty() || !TextAt(*delta, "reasoning").empty() ||
                     Member(*delta, "tool_calls") != nullptr;
  }
  event.has_text |= !event.content.empty();
  return event;
}

AnswerEvent ReadErrorBody(absl::string_view body) {
  AnswerEvent event;
  const Json json = Json::parse(body.begin(), body.end(), nullptr, /*allow_exceptions=*/false);
  if (json.is_object()) {
    event.is_json = true;
    const Json* error = Member(json, "error");
    TakeError(error != nullptr ? *error : json, event);
    return event;
  }
  event.is_error = true;
  event.message = std::string(absl::StripAsciiWhitespace(body.substr(0, kLongestMessage)));
  return event;
}

}  // namespace deeprack::cli
