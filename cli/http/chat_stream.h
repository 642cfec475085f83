// One chat answer over /v1/chat/completions, as it is written.
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
  bool greedy = false;  // temperature 0; otherwise the model's own settings
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

// Streams one answer. Errors: those of PostForEvents. `partial` always holds what came, also on error.
absl::Status StreamChat(const Url& url, const ChatRequest& request, const ChatListener& listener,
                        const Cancelled& cancelled, ChatAnswer& partial);

// The first model of /v1/models.
absl::StatusOr<std::string> FirstModel(const Url& url);

}  // namespace deeprack::cli
