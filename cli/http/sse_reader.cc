#include "cli/http/sse_reader.h"

#include <utility>

namespace deeprack::cli {

std::vector<std::string> SseReader::Feed(absl::string_view bytes) {
  std::vector<std::string> events;
  for (char byte : bytes) {
    const bool continues_return = std::exchange(after_return_, byte == '\r') && byte == '\n';
    if (continues_return) continue;
    if (byte == '\n' || byte == '\r') {
      TakeLine(events);
    } else {
      line_.push_back(byte);
    }
  }
  return events;
}

void SseReader::TakeLine(std::vector<std::string>& events) {
  const std::string line = std::exchange(line_, {});
  if (line.empty()) {
    if (std::exchange(has_data_, false)) events.push_back(std::exchange(data_, {}));
    return;
  }
  absl::string_view rest = line;
  if (rest.substr(0, 5) != "data:") return;
  rest.remove_prefix(5);
  if (!rest.empty() && rest[0] == ' ') rest.remove_prefix(1);
  if (std::exchange(has_data_, true)) data_.push_back('\n');
  data_.append(rest.data(), rest.size());
}

}  // namespace deeprack::cli
