#include "cli/http/completions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/cli/scripted_server.h"

namespace deeprack::cli {
namespace {

using ::testing::ElementsAre;

std::string Answer(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST(StreamCompletion, CountsTheTokensOfEachEvent) {
  ScriptedServer server({kStreamHead,
                         "data: {\"choices\": [{\"text\": \"\", \"token_ids\": [5]}]}\n\n"
                         "data: {\"choices\": [{\"text\": \"ab\", \"token_ids\": [6, 7]}]}\n\n"
                         "data: {\"choices\": [{\"text\": \"\", \"finish_reason\": \"length\"}]}\n\n"
                         "data: {\"choices\": [], \"usage\": {\"completion_tokens_details\": "
                         "{\"accepted_prediction_tokens\": 2, \"rejected_prediction_tokens\": 5}}}\n\n"
                         "data: [DONE]\n\n"});
  std::vector<int64_t> counts;
  const auto drafts = StreamCompletion(
      server.url(), {.model = "m", .prompt = {1, 2}, .max_tokens = 3},
      [&](int64_t tokens) { counts.push_back(tokens); }, nullptr);
  ASSERT_TRUE(drafts.ok()) << drafts.status();
  EXPECT_EQ(drafts->accepted, 2);
  EXPECT_EQ(drafts->rejected, 5);
  EXPECT_THAT(counts, ElementsAre(1, 2));
}

TEST(StreamCompletion, ReportsAnErrorWithinTheStream) {
  ScriptedServer server({kStreamHead,
                         "data: {\"choices\": [{\"token_ids\": [5]}]}\n\n"
                         "data: {\"error\": {\"message\": \"rank 1 was lost\"}}\n\n"});
  const auto status = StreamCompletion(
      server.url(), {.model = "m", .prompt = {1}, .max_tokens = 3}, [](int64_t) {}, nullptr);
  EXPECT_EQ(status.status().message(), "rank 1 was lost");
}

TEST(Tokenize, ReadsTheIds) {
  ScriptedServer server({Answer(R"({"count": 3, "tokens": [7, 0, 511]})")});
  EXPECT_THAT(Tokenize(server.url(), "m", "text", false, nullptr).value(), ElementsAre(7, 0, 511));
}

TEST(Tokenize, RefusesWhatIsNoAnswer) {
  for (const std::string body : {"[]", R"({"tokens": "7"})", R"({"tokens": [7, "8"]})"}) {
    ScriptedServer server({Answer(body)});
    EXPECT_EQ(Tokenize(server.url(), "m", "text", false, nullptr).status().code(),
              absl::StatusCode::kInternal)
        << body;
  }
}

}  // namespace
}  // namespace deeprack::cli
