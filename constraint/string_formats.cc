#include "constraint/string_formats.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"

namespace deeprack::constraint {
namespace {

// RFC 3339, from year 1 on.
std::string DatePattern() {
  const char* const year = R"((?:\d{3}[1-9]|\d{2}[1-9]\d|\d[1-9]\d{2}|[1-9]\d{3}))";
  const char* const leap_year =
      R"((?:\d{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00))";
  return absl::StrCat("(?:", year,
                      R"(-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30))",
                      R"(|02-(?:0[1-9]|1\d|2[0-8]))|)", leap_year, "-02-29)");
}

std::string TimePattern() {
  const char* const clock = R"((?:[01]\d|2[0-3]):[0-5]\d)";
  return absl::StrCat(clock, R"(:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-])", clock, ")");
}

}  // namespace

const StringFormat* FindStringFormat(std::string_view name) {
  static const auto* const formats = new std::vector<StringFormat>{
      {.name = "date", .pattern = DatePattern()},
      {.name = "time", .pattern = TimePattern()},
      {.name = "date-time", .pattern = absl::StrCat(DatePattern(), "T", TimePattern())},
      {.name = "duration", .weight = 64},
      {.name = "email", .weight = 600},
      {.name = "hostname", .weight = 256},
      {.name = "ipv4",
       .pattern = R"((?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d))"},
      {.name = "ipv6", .weight = 128},
      {.name = "uuid", .weight = 32},
      {.name = "uri", .weight = 600},
      {.name = "uri-reference", .weight = 700},
      {.name = "uri-template", .weight = 2200},
      {.name = "json-pointer", .weight = 400},
      {.name = "relative-json-pointer", .weight = 400}};
  const auto found = std::ranges::find(*formats, name, &StringFormat::name);
  return found == formats->end() ? nullptr : &*found;
}

}  // namespace deeprack::constraint
