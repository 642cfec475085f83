// One answer of /v1/chat/completions, streamed.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/http/http_client.h"

namespace deeprack::cli {

struct ChatMessage {
  std::string role;
  std::string content;
};

struct ChatRequest {
  std::string model;
  std::vector<ChatMessage> messages;
  bool greedy = false;  // true: temperature 0; false: the server's defaults
};

struct ChatAnswer {
  std::string reasoning;
  std::string content;
  std::string finish_reason;
};

struct ChatListener {
  std::function<void(absl::string_view)> on_reasoning;
  std::function<void(absl::string_view)> on_content;
};

// Streams one answer. Errors: those of PostForEvents. `partial` holds all that has
// arrived, also after an error.
absl::Status StreamChat(const Url& url, const ChatRequest& request, const ChatListener& listener,
                        const Cancelled& cancelled, ChatAnswer& partial);

// The first model of /v1/models.
absl::StatusOr<std::string> FirstModel(const Url& url);

}  // namespace deeprack::cli
