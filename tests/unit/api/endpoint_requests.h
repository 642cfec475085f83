// Requests to the generation endpoints, and the events of their streams, for tests.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/str_split.h"

namespace deeprack::coordinator {

inline constexpr char kChat[] = "/v1/chat/completions";
inline constexpr char kCompletions[] = "/v1/completions";

inline std::string ChatBody(const std::string& more = "") {
  return R"({"model": "bytes", "messages": [{"role": "user", "content": "What is 2+2?"}])" +
         (more.empty() ? more : ", " + more) + "}";
}

// Returns the data of each event, without comments.
inline std::vector<std::string> Events(const std::string& body) {
  std::vector<std::string> events;
  for (const auto& block : absl::StrSplit(body, "\n\n", absl::SkipEmpty())) {
    const std::string event(block);
    if (event.rfind("data: ", 0) == 0) events.push_back(event.substr(6));
  }
  return events;
}

}  // namespace deeprack::coordinator
