#include "cli/http/chat_stream.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/http/event_stream.h"

namespace deeprack::cli {
namespace {

using Json = nlohmann::json;

std::string RequestBody(const ChatRequest& request) {
  Json body = {{"model", request.model}, {"stream", true}, {"messages", Json::array()}};
  for (const ChatMessage& message : request.messages) {
    body["messages"].push_back({{"role", message.role}, {"content", message.content}});
  }
  if (request.greedy) body["temperature"] = 0;
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Takes one event of the stream into `answer`.
void TakeEvent(const Json& event, const ChatListener& listener, ChatAnswer& answer) {
  const auto choices = event.find("choices");
  if (choices == event.end() || !choices->is_array() || choices->empty()) return;
  const Json& choice = choices->front();
  if (!choice.is_object()) return;
  if (const auto delta = choice.find("delta"); delta != choice.end() && delta->is_object()) {
    std::string reasoning = TextAt(*delta, "reasoning_content");
    if (reasoning.empty()) reasoning = TextAt(*delta, "reasoning");  // as the server's --reasoning-field says
    const std::string content = TextAt(*delta, "content");
    answer.reasoning += reasoning;
    answer.content += content;
    if (!reasoning.empty()) listener.on_reasoning(reasoning);
    if (!content.empty()) listener.on_content(content);
  }
  if (std::string reason = TextAt(choice, "finish_reason"); !reason.empty())
    answer.finish_reason = std::move(reason);
}

}  // namespace

absl::Status StreamChat(const Url& url, const ChatRequest& request, const ChatListener& listener,
                        const Cancelled& cancelled, ChatAnswer& partial) {
  const auto on_event = [&](const Json& event) {
    TakeEvent(event, listener, partial);
    return absl::OkStatus();
  };
  return PostForEvents(url, "/v1/chat/completions", RequestBody(request), on_event, cancelled);
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
