// docs/API.md has, under each heading of request_fields.h and of other folders' fields, the table that
// FieldTableText makes. With the environment variable DEEPRACK_WRITE_PAGES, the test writes the tables into
// the page before it compares.
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "coordinator/api/anthropic/message_fields.h"
#include "coordinator/api/json_fields.h"
#include "coordinator/api/llama_cpp/native_fields.h"
#include "coordinator/api/request_fields.h"
#include "coordinator/api/responses/responses_fields.h"
#include "coordinator/api/served_model.h"
#include "gtest/gtest.h"
#include "tests/source_tree.h"

namespace deeprack::coordinator {
namespace {

std::string PagePath() { return InSourceTree("docs/API.md"); }

// The page with the lines of `table` under its heading in place of those that are there. Fails if the heading
// is missing.
std::string WithTable(const std::string& page, const FieldTable& table) {
  std::vector<std::string> lines;
  bool inside = false, found = false, replaced = false;
  for (const absl::string_view line : absl::StrSplit(page, '\n')) {
    if (absl::StartsWith(line, "#")) inside = line == "### " + std::string(table.heading);
    found |= inside;
    if (!inside || !absl::StartsWith(line, "|")) {
      lines.emplace_back(line);
    } else if (!std::exchange(replaced, true)) {
      const std::string text = FieldTableText(table);
      lines.push_back(text.substr(0, text.size() - 1));
    }
  }
  EXPECT_TRUE(found && replaced) << "docs/API.md has no table under ### " << table.heading;
  return absl::StrJoin(lines, "\n");
}

// The tables of every API.
std::vector<const FieldTable*> EveryTable() {
  std::vector<const FieldTable*> all;
  for (const auto& tables : {AllFieldTables(), AnswerFormTables(), anthropic::MessageFieldTables(),
                             llama_cpp::NativeFieldTables(), ResponsesFieldTables()}) {
    all.insert(all.end(), tables.begin(), tables.end());
  }
  return all;
}

TEST(ApiPage, HasTheTablesOfTheFieldsThatTheParsersKnow) {
  const std::string page = ReadTextFile(PagePath()).value();
  std::string wanted = page;
  for (const FieldTable* table : EveryTable()) wanted = WithTable(wanted, *table);
  if (std::getenv("DEEPRACK_WRITE_PAGES") != nullptr) {
    std::ofstream(PagePath(), std::ios::binary) << wanted;
  } else {
    EXPECT_TRUE(wanted == page)
        << "write the tables: DEEPRACK_WRITE_PAGES=1 build/tests/api_test --gtest_filter='ApiPage.*'";
  }
}

TEST(RequestFields, StandOnceInATableAndSayWhy) {
  for (const FieldTable* table : EveryTable()) {
    std::set<std::string_view> names;
    for (const RequestField& field : table->fields) {
      EXPECT_TRUE(names.insert(field.name).second)
          << table->heading << ": " << field.name << " stands there twice";
      EXPECT_TRUE(Json::accept("[" + std::string(field.allowed) + "]")) << field.name;
      EXPECT_EQ(field.use == FieldUse::kRefused, !field.why.empty()) << field.name;
    }
  }
}

TEST(RequestFields, NoFieldIsInBothTablesOfARequest) {
  for (const RequestObject* kind : {&kChatRequest, &kCompletionRequest, &kTokenizeChat, &kTokenizeText,
                                    &kTokenizeContent, &kAssistantMessage, &kToolMessage}) {
    for (const RequestField& field : kind->shared->fields) {
      for (const RequestField& own : kind->own->fields) EXPECT_NE(own.name, field.name) << kind->own->heading;
    }
  }
}

}  // namespace
}  // namespace deeprack::coordinator
