// Requests whose numbers go wrong: token ids that the model has not, logits that are not finite, and plans
// that the ranks refuse.
#include "coordinator/api/json_fields.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/api/api_server.h"
#include "tests/unit/api/endpoint_requests.h"

namespace deeprack::coordinator {
namespace {

using ::testing::HasSubstr;
constexpr char kHello[] = R"({"messages": [{"role": "user", "content": "Hello"}], "stream": false})";

Json ErrorOf(const HttpReply& reply, int status) {
  EXPECT_EQ(reply.status, status) << reply.body;
  return Json::parse(reply.body)["error"];
}

// A model with 262 ids. The tokenizer's tool markers, ids 262 to 270, are beyond them.
class AddedTokensTest : public testing::Test {
 protected:
  AddedTokensTest() : server_({.vocab_size = 262}) { server_.BecomeReady(); }
  ApiServer server_;
};

TEST_F(AddedTokensTest, ATextWithATokenThatTheModelLacksIsRefusedByNameAndId) {
  const Json error =
      ErrorOf(server_.Post(kCompletions, R"({"prompt": "ab<｜tool▁sep｜>c", "max_tokens": 3})"), 400);
  EXPECT_EQ(error["code"], "invalid_token_id");
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_THAT(error["message"].get<std::string>(),
              HasSubstr("token 3 of the prompt is '<｜tool▁sep｜>' with id 266; the model has ids 0 to 261"));
  const Json second =
      ErrorOf(server_.Post(kCompletions, R"({"prompt": ["ab", "<｜tool▁sep｜>"], "max_tokens": 3})"), 400);
  EXPECT_THAT(second["message"].get<std::string>(), HasSubstr("token 1 of prompt 1 is '<｜tool▁sep｜>'"));
  // Nothing was submitted, and the next request is served.
  EXPECT_EQ(server_.loop().Stats().steps, 0);
  EXPECT_EQ(server_.Post(kCompletions, R"({"prompt": "ab", "max_tokens": 3})").status, 200);
}

TEST_F(AddedTokensTest, AChatWhoseTemplateWritesSuchATokenIsRefused) {
  const Json error = ErrorOf(server_.Post(kChat, R"({"messages": [
      {"role": "user", "content": "2+2?"},
      {"role": "assistant", "content": null, "tool_calls": [
          {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}]},
      {"role": "tool", "tool_call_id": "1", "content": "4"}]})"),
                             400);
  EXPECT_EQ(error["code"], "invalid_token_id");
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("the model has ids 0 to 261"));
  EXPECT_EQ(server_.Post(kChat, kHello).status, 200);
}

TEST_F(AddedTokensTest, ATokenListIsRefusedAtItsIndex) {
  const Json error = ErrorOf(server_.Post(kCompletions, R"({"prompt": [65, 262], "max_tokens": 3})"), 400);
  EXPECT_EQ(error["code"], "invalid_token_id");
  EXPECT_THAT(error["message"].get<std::string>(),
              HasSubstr("prompt[1] is 262; token ids are integers from 0 to 261"));
}

class NumbersTest : public testing::Test {
 protected:
  NumbersTest() { server_.BecomeReady(); }
  std::string MetricsText() const { return server_.Get("/metrics").body; }
  ApiServer server_;
};

TEST_F(NumbersTest, LogitsThatAreNotFiniteEndTheRequestWithItsOwnCode) {
  server_.executor().BreakNumbersAfter(2);
  const Json error = ErrorOf(server_.Post(kCompletions, R"({"prompt": "abc"})"), 500);
  EXPECT_EQ(error["code"], "non_finite_logits");
  EXPECT_EQ(error["type"], "server_error");
  EXPECT_THAT(
      error["message"].get<std::string>(),
      HasSubstr("the logits after position 5 are not finite (infinite or NaN), first that of token 3"));
  EXPECT_TRUE(server_.BecomesIdle());
  EXPECT_THAT(MetricsText(), HasSubstr("deeprack:non_finite_logits_total{model_name=\"bytes\"} 1"));
  server_.executor().BreakNumbersAfter(SIZE_MAX);
  EXPECT_EQ(server_.Post(kCompletions, R"({"prompt": "abc"})").status, 200);
}

TEST_F(NumbersTest, AStreamEndsWithOneErrorEvent) {
  server_.executor().BreakNumbersAfter(2);
  const HttpReply reply = server_.Post(kCompletions, R"({"prompt": "abc", "stream": true})");
  EXPECT_EQ(reply.status, 200);
  const size_t first = reply.body.find("\"error\"");
  ASSERT_NE(first, std::string::npos) << reply.body;
  EXPECT_EQ(reply.body.find("\"error\"", first + 1), std::string::npos);
  EXPECT_THAT(reply.body, HasSubstr("non_finite_logits"));
  EXPECT_THAT(reply.body, HasSubstr("\"text\":\"2\""));  // the tokens before
}

TEST_F(NumbersTest, APlanThatTheRanksRefuseEndsOneRequest) {
  server_.executor().RefuseChunksFrom('Z');
  const Json error =
      ErrorOf(server_.Post(kCompletions, R"({"prompt": "Z", "add_special_tokens": false})"), 500);
  EXPECT_EQ(error["code"], "internal_error");
  EXPECT_THAT(error["message"].get<std::string>(),
              HasSubstr("the ranks refused to compute this request (token 7 of 7)"));
  EXPECT_TRUE(server_.loop().health().ok());
  const Json answer =
      Json::parse(server_.Post(kCompletions, R"({"prompt": "Y", "add_special_tokens": false})").body);
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  EXPECT_THAT(MetricsText(), HasSubstr("deeprack:plans_refused_total{model_name=\"bytes\"} 1"));
  EXPECT_EQ(server_.loop().Stats().blocks_used, 0);
}

}  // namespace
}  // namespace deeprack::coordinator
