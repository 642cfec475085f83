#include "cli/http/chat_stream.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/http/sse_reader.h"

namespace deeprack::cli {
namespace {

using Json = nlohmann::json;

// Prompts of a rack under load may wait long; the server sends comments meanwhile.
constexpr absl::Duration kLongestSilence = absl::Minutes(5);

std::string RequestBody(const ChatRequest& request) {
  Json body = {{"model", request.model}, {"stream", true}, {"messages", Json::array()}};
  for (const ChatMessage& message : request.messages) {
    body["messages"].push_back({{"role", message.role}, {"content", message.content}});
  }
  if (request.greedy) body["temperature"] = 0;
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string TextAt(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// Takes one event of the stream into `answer`.
absl::Status TakeEvent(const std::string& text, const ChatListener& listener, ChatAnswer& answer) {
  const Json event = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!event.is_object())
    return absl::InternalError(absl::StrCat("the server sent no JSON: ", text.substr(0, 200)));
  if (const auto error = event.find("error"); error != event.end()) {
    return absl::InternalError(error->is_object() ? TextAt(*error, "message") : error->dump());
  }
  const auto choices = event.find("choices");
  if (choices == event.end() || !choices->is_array() || choices->empty()) return absl::OkStatus();
  const Json& choice = choices->front();
  if (!choice.is_object()) return absl::OkStatus();
  if (const auto delta = choice.find("delta"); delta != choice.end() && delta->is_object()) {
    const std::string reasoning = TextAt(*delta, "reasoning_content");
    const std::string content = TextAt(*delta, "content");
    answer.reasoning += reasoning;
    answer.content += content;
    if (!reasoning.empty()) listener.on_reasoning(reasoning);
    if (!content.empty()) listener.on_content(content);
  }
  if (std::string reason = TextAt(choice, "finish_reason"); !reason.empty())
    answer.finish_reason = std::move(reason);
  return absl::OkStatus();
}

}  // namespace

absl::Status StreamChat(const Url& url, const ChatRequest& request, const ChatListener& listener,
                        const Cancelled& cancelled, ChatAnswer& partial) {
  SseReader reader;
  absl::Status status;
  bool done = false;
  const auto on_data = [&](absl::string_view data) {
    for (const std::string& event : reader.Feed(data)) {
      done = event == "[DONE]";
      if (!done) status = TakeEvent(event, listener, partial);
      if (done || !status.ok()) return false;
    }
    return true;
  };
  DR_RETURN_IF_ERROR(HttpPostStreaming(url, "/v1/chat/completions", RequestBody(request), kLongestSilence,
                                       on_data, cancelled));
  DR_RETURN_IF_ERROR(status);
  return done ? absl::OkStatus() : absl::InternalError("the stream ended before its last event");
}

absl::StatusOr<std::string> FirstModel(const Url& url) {
  DR_ASSIGN_OR_RETURN(const HttpResponse response, HttpGet(url, "/v1/models", absl::Seconds(10)));
  const Json json = Json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  if (response.status == 200 && json.is_object() && json.contains("data") && json["data"].is_array() &&
      !json["data"].empty() && json["data"][0].is_object()) {
    if (std::string id = TextAt(json["data"][0], "id"); !id.empty()) return id;
  }
  return absl::UnavailableError(absl::StrCat(url.authority(), ": /v1/models answered ", response.status,
                                             " and names no model; is this a deeprack server?"));
}

}  // namespace deeprack::cli
