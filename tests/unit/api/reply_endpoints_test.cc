// Where the text and the log-probabilities of a reply stand in the answers of the generation endpoints.
#include <algorithm>
#include <vector>

#include "coordinator/api/json_fields.h"
#include "gtest/gtest.h"
#include "tests/unit/api/api_server.h"
#include "tests/unit/api/endpoint_requests.h"

namespace deeprack::coordinator {
namespace {

class ReplyEndpointsTest : public testing::Test {
 protected:
  ReplyEndpointsTest() { server_.BecomeReady(); }
  Json PostJson(const std::string& path, const std::string& body) {
    const HttpReply reply = server_.Post(path, body);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return Json::parse(reply.body);
  }
  ApiServer server_;
};

TEST_F(ReplyEndpointsTest, StopStringsLookAtTheContent) {
  for (const char* stop : {"\\n\\n", "nd", " "}) {
    const Json choice = PostJson(kChat, ChatBody("\"stop\": [\"" + std::string(stop) + "\"]"))["choices"][0];
    EXPECT_EQ(choice["message"]["reasoning_content"], "2 and 2");
    EXPECT_EQ(choice["message"]["content"], "4");
  }
  const Json choice = PostJson(kChat, ChatBody(R"("stop": "</think>")"))["choices"][0];
  EXPECT_EQ(choice["message"]["reasoning_content"], "2 and 2");
  EXPECT_EQ(choice["message"]["content"], "");
  EXPECT_EQ(choice["finish_reason"], "stop");
}

TEST_F(ReplyEndpointsTest, AStopTokenIsShownOnRequest) {
  const std::string asked = R"({"prompt": "a", "stop_token_ids": [110])";
  EXPECT_EQ(PostJson(kCompletions, asked + "}")["choices"][0]["text"], "2 a");
  EXPECT_EQ(PostJson(kCompletions, asked + R"(, "include_stop_str_in_output": true})")["choices"][0]["text"],
            "2 an");
}

// The tokens of a list of log-probabilities, joined.
std::string TokensOf(const Json& entries) {
  std::string text;
  for (const Json& entry : entries) text += entry["token"].get<std::string>();
  return text;
}

TEST_F(ReplyEndpointsTest, ChatLogprobsJoinToTheText) {
  const Json choice = PostJson(kChat, ChatBody(R"("logprobs": true)"))["choices"][0];
  EXPECT_EQ(TokensOf(choice["logprobs"]["content"]), "4");
  EXPECT_EQ(TokensOf(choice["logprobs"]["reasoning_content"]), "2 and 2");

  const HttpReply reply = server_.Post(kChat, ChatBody(R"("logprobs": true, "stream": true)"));
  for (const std::string& event : Events(reply.body)) {
    if (event == "[DONE]") continue;
    const Json chunk = Json::parse(event)["choices"][0];
    const Json& logprobs = chunk["logprobs"];
    const std::string content = logprobs.is_null() ? "" : TokensOf(logprobs["content"]);
    EXPECT_EQ(content, chunk["delta"].value("content", ""));
  }
}

TEST_F(ReplyEndpointsTest, CompletionLogprobsListTheTextThatIsShown) {
  const Json choice = PostJson(
      kCompletions, R"({"prompt": "a", "logprobs": 0, "stop": "d 2", "max_tokens": 40})")["choices"][0];
  EXPECT_EQ(choice["text"], "2 an");
  EXPECT_EQ(choice["logprobs"]["tokens"], Json::array({"2", " ", "a", "n"}));
  EXPECT_EQ(choice["logprobs"]["text_offset"], Json::array({0, 1, 2, 3}));
  const Json typed = PostJson(
      kCompletions, R"({"prompt": "<think>é", "echo": true, "logprobs": 0, "max_tokens": 1})")["choices"][0];
  EXPECT_EQ(typed["text"], "<think>é2");
  EXPECT_EQ(typed["logprobs"]["text_offset"], Json::array({0, 0, 7, 8, 8}));
}

constexpr char kTools[] = R"("tools": [{"type": "function", "function": {"name": "f"}}])";

TEST(ReplyEndpoints, ToolCallsComeInPartsAndWhole) {
  ApiServer server({.script =
                        "hm\n</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n"
                        "```json\n{\"a\": 1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"});
  server.BecomeReady();
  const Json whole = Json::parse(server.Post(kChat, ChatBody(kTools)).body)["choices"][0];
  EXPECT_EQ(whole["finish_reason"], "tool_calls");
  EXPECT_TRUE(whole["message"]["content"].is_null());
  const Json& function = whole["message"]["tool_calls"][0]["function"];
  EXPECT_EQ(function, (Json{{"name", "f"}, {"arguments", "{\"a\": 1}"}}));

  std::string arguments;
  std::vector<Json> firsts;
  const HttpReply reply = server.Post(kChat, ChatBody(std::string(kTools) + R"(, "stream": true)"));
  for (const std::string& event : Events(reply.body)) {
    if (event == "[DONE]") continue;
    const Json delta = Json::parse(event)["choices"][0]["delta"];
    if (!delta.contains("tool_calls")) continue;
    const Json& call = delta["tool_calls"][0];
    EXPECT_EQ(call["index"], 0);
    if (call.contains("id")) firsts.push_back(call);
    arguments += call["function"].value("arguments", "");
  }
  EXPECT_EQ(arguments, "{\"a\": 1}");
  ASSERT_EQ(firsts.size(), 1u);
  EXPECT_EQ(firsts[0]["function"]["name"], "f");

  const Json cut =
      Json::parse(server.Post(kChat, ChatBody(std::string(kTools) + R"(, "max_tokens": 33)")).body);
  EXPECT_EQ(cut["choices"][0]["finish_reason"], "length");
  const std::string partial = cut["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"];
  EXPECT_EQ(std::string("{\"a\": 1}").find(partial), 0u);
  EXPECT_LT(partial.size(), 8u);
}

TEST(ReplyEndpoints, ACallWithoutANameIsContent) {
  ApiServer server({.script = "</think><｜tool▁calls▁begin｜>sorry<｜tool▁calls▁end｜>"});
  server.BecomeReady();
  const Json choice = Json::parse(server.Post(kChat, ChatBody(kTools)).body)["choices"][0];
  EXPECT_EQ(choice["message"]["content"], "<｜tool▁calls▁begin｜>sorry<｜tool▁calls▁end｜>");
  EXPECT_EQ(choice["finish_reason"], "stop");
}

TEST(ReplyEndpoints, TheReasoningFieldIsASetting) {
  for (const auto& [field, names] : std::vector<std::pair<ReasoningField, std::vector<std::string>>>{
           {ReasoningField::kReasoning, {"reasoning"}},
           {ReasoningField::kBoth, {"reasoning", "reasoning_content"}}}) {
    ApiServer server({.reasoning_field = field});
    server.BecomeReady();
    const Json message = Json::parse(server.Post(kChat, ChatBody()).body)["choices"][0]["message"];
    for (const char* name : {"reasoning", "reasoning_content"}) {
      const bool named = std::find(names.begin(), names.end(), name) != names.end();
      EXPECT_EQ(message.value(name, ""), named ? "2 and 2" : "");
    }
  }
}

}  // namespace
}  // namespace deeprack::coordinator
