// Renders templates, for the comparison with Python's jinja2 (reference.py).
//   jinja_dump < requests > answers
// A request is a line of JSON, {"template": "...", "variables": {...}}. The answer is the line {"text":
// "..."}, or
// {"error": "..."} if the template cannot be parsed or rendered. strftime_now shows the time NOW below.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/time/time.h"
#include "coordinator/chat/jinja/print.h"
#include "coordinator/chat/jinja/template.h"

namespace {

using Json = nlohmann::ordered_json;
namespace jinja = deeprack::coordinator::jinja;

constexpr int64_t kNow = 1'750'000'000;  // seconds since 1970

absl::StatusOr<jinja::Text> Render(const Json& request) {
  const auto parsed = jinja::Template::Parse(request["template"].get<std::string>());
  if (!parsed.ok()) return parsed.status();
  const auto variables = jinja::FromJson(request["variables"].dump());
  if (!variables.ok()) return variables.status();
  return parsed->Render(variables->dict(), absl::FromUnixSeconds(kNow));
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  std::string line;
  while (std::getline(std::cin, line)) {
    const Json request = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!request.is_object() || !request["variables"].is_object()) {
      std::cerr << "not a request: " << line << "\n";
      return 65;
    }
    const absl::StatusOr<jinja::Text> text = Render(request);
    const Json answer =
        text.ok() ? Json{{"text", text->bytes()}} : Json{{"error", std::string(text.status().message())}};
    std::cout << answer.dump() << '\n';
  }
  return 0;
}
