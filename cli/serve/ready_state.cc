#include "cli/serve/ready_state.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace deeprack::cli {
namespace {

using Json = nlohmann::json;

int64_t NumberAt(const Json& json, const char* key, int64_t otherwise) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number_integer() ? found->get<int64_t>() : otherwise;
}

std::vector<int64_t> NumbersAt(const Json& json, const char* key) {
  std::vector<int64_t> numbers;
  const auto found = json.find(key);
  if (found == json.end() || !found->is_array()) return numbers;
  for (const Json& entry : *found) {
    if (entry.is_number_integer()) numbers.push_back(entry.get<int64_t>());
  }
  return numbers;
}

std::string TextAt(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

absl::StatusOr<ReadyState> ParseReadyState(absl::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || TextAt(json, "state").empty()) {
    return absl::InternalError(absl::StrCat("/ready answered: ", text.substr(0, 200)));
  }
  return ReadyState{.state = TextAt(json, "state"),
                    .workers_joined = NumberAt(json, "workers_joined", 0),
                    .workers_expected = NumberAt(json, "workers_expected", 0),
                    .missing_ranks = NumbersAt(json, "missing_ranks"),
                    .bytes_done = NumberAt(json, "bytes_done", 0),
                    .bytes_total = NumberAt(json, "bytes_total", 0),
                    .message = TextAt(json, "message")};
}

absl::StatusOr<CoordinatorPorts> ParsePorts(absl::string_view line) {
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  const int64_t http = json.is_object() ? NumberAt(json, "http", 0) : 0;
  const int64_t cluster = json.is_object() ? NumberAt(json, "cluster", 0) : 0;
  if (http < 1 || http > 65535 || cluster < 1 || cluster > 65535) {
    return absl::InternalError(
        absl::StrCat("the coordinator named no ports; it printed: ", line.substr(0, 200)));
  }
  return CoordinatorPorts{static_cast<int32_t>(http), static_cast<int32_t>(cluster)};
}

}  // namespace deeprack::cli
