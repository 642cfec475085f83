// A POST whose answer is a stream of server-sent events that ends with [DONE], as in OpenAI's API.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/status.h"
#include "cli/http/http_client.h"

namespace deeprack::cli {

// Calls `on_event` with each event, a JSON object; an error from it ends the stream and is returned. Errors:
// those of HttpPostStreaming; Internal when the server reports an error within the stream, sends an event
// that is not JSON, or ends the stream before [DONE].
absl::Status PostForEvents(const Url& url, const std::string& target, const std::string& json,
                           const std::function<absl::Status(const nlohmann::json&)>& on_event,
                           const Cancelled& cancelled);

// The string under `key`, "" when there is none.
std::string TextAt(const nlohmann::json& object, const char* key);

}  // namespace deeprack::cli
