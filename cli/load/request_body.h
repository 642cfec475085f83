// The JSON of the requests of a load test.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/load/prompt_text.h"
#include "cli/load/session_plan.h"

namespace deeprack::cli {

enum class LoadApi { kChat, kCompletions };

std::string PathOf(LoadApi api);  // "/v1/chat/completions"

// The fields beyond OpenAI's oldest that a server takes.
struct ServerFields {
  bool usage_of_each_event = true;  // stream_options.continuous_usage_stats
  bool usage_at_end = true;         // stream_options.include_usage
  bool ignore_eos = true;           // answers have exactly as many tokens as the plan says
  bool operator==(const ServerFields&) const = default;
};

// Makes the bodies of a session's requests.
struct BodyMaker {
  LoadApi api = LoadApi::kChat;
  std::string model;
  ServerFields fields;
  TokenScale scale;

  // The request of turn `turn`, which holds the earlier turns and their `answers` (`turn` of them). The
  // server samples greedily.
  std::string Make(const SessionPlan& session, size_t turn, const std::vector<std::string>& answers) const;
};

}  // namespace deeprack::cli
