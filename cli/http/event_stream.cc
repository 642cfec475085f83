#include "cli/http/event_stream.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/http/sse_reader.h"

namespace deeprack::cli {
namespace {

using Json = nlohmann::json;

// A prompt may wait long when the server is busy; the server then sends comments.
constexpr absl::Duration kLongestSilence = absl::Minutes(5);

absl::StatusOr<Json> ParseEvent(const std::string& text) {
  Json event = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!event.is_object())
    return absl::InternalError(absl::StrCat("the server sent no JSON: ", text.substr(0, 200)));
  if (const auto error = event.find("error"); error != event.end() && !error->is_null()) {
    return absl::InternalError(error->is_object() ? TextAt(*error, "message") : error->dump());
  }
  return event;
}

}  // namespace

absl::Status PostForEvents(const Url& url, const std::string& target, const std::string& json,
                           const std::function<absl::Status(const Json&)>& on_event,
                           const Cancelled& cancelled) {
  SseReader reader;
  absl::Status status;
  bool done = false;
  const auto on_data = [&](absl::string_view data) {
    for (const std::string& text : reader.Feed(data)) {
      done = text == "[DONE]";
      if (done) return false;
      const absl::StatusOr<Json> event = ParseEvent(text);
      status = event.ok() ? on_event(*event) : event.status();
      if (!status.ok()) return false;
    }
    return true;
  };
  DR_RETURN_IF_ERROR(HttpPostStreaming(url, target, json, kLongestSilence, on_data, cancelled));
  DR_RETURN_IF_ERROR(status);
  return done ? absl::OkStatus() : absl::InternalError("the stream ended before its last event");
}

std::string TextAt(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace deeprack::cli
