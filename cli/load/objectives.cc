#include "cli/load/objectives.h"

#include <cmath>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace deeprack::cli {

bool Objectives::any() const {
  return std::isfinite(first_token) || std::isfinite(output_token) || std::isfinite(end_to_end);
}

std::string Objectives::Text() const {
  std::string text;
  const auto add = [&text](const char* name, double seconds) {
    if (std::isfinite(seconds)) absl::StrAppend(&text, text.empty() ? "" : ",", name, ":", seconds * 1e3);
  };
  add("ttft", first_token);
  add("tpot", output_token);
  add("e2e", end_to_end);
  return text;
}

absl::StatusOr<Objectives> ParseObjectives(absl::string_view text) {
  Objectives objectives;
  for (const absl::string_view item : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(item, ':');
    double* seconds = parts[0] == "ttft"                        ? &objectives.first_token
                      : parts[0] == "tpot"                      ? &objectives.output_token
                      : parts[0] == "e2e" || parts[0] == "e2el" ? &objectives.end_to_end
                                                                : nullptr;
    double milliseconds = 0;
    if (seconds == nullptr || parts.size() != 2 || !absl::SimpleAtod(parts[1], &milliseconds) ||
        !std::isfinite(milliseconds) || milliseconds <= 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "'", item, "' is no objective; write ttft:MS, tpot:MS or e2e:MS, such as ttft:500,tpot:50"));
    }
    if (std::isfinite(*seconds))
      return absl::InvalidArgumentError(absl::StrCat("'", parts[0], "' is stated twice; state it once"));
    *seconds = milliseconds / 1e3;
  }
  return objectives;
}

double TimePerOutputToken(const RequestRecord& record) {
  if (record.output_tokens < 2) return 0;
  return (record.last - record.first) / static_cast<double>(record.output_tokens - 1);
}

bool Keeps(const RequestRecord& record, const Objectives& objectives) {
  return record.ok() && record.first - record.sent <= objectives.first_token &&
         TimePerOutputToken(record) <= objectives.output_token &&
         record.ended - record.sent <= objectives.end_to_end;
}

}  // namespace deeprack::cli
