// docs/API.md has a table under each heading of request_fields.h. The table has exactly the fields of
// request_fields.h, with the same uses.
#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "coordinator/api/request_fields.h"
#include "coordinator/api/served_model.h"
#include "gtest/gtest.h"
#include "tests/source_tree.h"

namespace deeprack::coordinator {
namespace {

using Fields = std::map<std::string, std::string>;  // name -> first word of the column "use"

const char* WordOf(FieldUse use) {
  switch (use) {
    case FieldUse::kHonoured:
      return "honoured";
    case FieldUse::kAccepted:
      return "accepted";
    case FieldUse::kRefused:
      return "refused";
  }
  return "";
}

std::map<std::string, Fields> TablesOfPage() {
  std::map<std::string, Fields> tables;
  std::string heading;
  for (absl::string_view line : absl::StrSplit(ReadTextFile(InSourceTree("docs/API.md")).value(), '\n')) {
    if (absl::ConsumePrefix(&line, "### ")) {
      heading = std::string(line);
    } else if (absl::StartsWith(heading, "Fields of") && absl::ConsumePrefix(&line, "| `")) {
      const std::vector<std::string> cells = absl::StrSplit(line, '|');
      EXPECT_EQ(cells.size(), 6u) << line;
      const std::string name = cells.front().substr(0, cells.front().find('`'));
      const std::string use(absl::StripAsciiWhitespace(cells.at(4)));
      const bool is_new = tables[heading].emplace(name, use.substr(0, use.find_first_of(",;: "))).second;
      EXPECT_TRUE(is_new) << heading << ": " << name << " stands there twice";
    }
  }
  return tables;
}

TEST(ApiPage, HasTheFieldsThatTheParsersKnow) {
  std::map<std::string, Fields> known;
  for (const FieldTable* table : AllFieldTables()) {
    for (const RequestField& field : table->fields) {
      known[std::string(table->heading)].emplace(field.name, WordOf(field.use));
    }
  }
  EXPECT_EQ(TablesOfPage(), known);
}

}  // namespace
}  // namespace deeprack::coordinator
