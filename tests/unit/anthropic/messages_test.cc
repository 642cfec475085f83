// /v1/messages over HTTP, with scripted workers: whole answers, the events of streams, errors.
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "coordinator/api/anthropic/answer_blocks.h"
#include "coordinator/api/anthropic/messages_answer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/api/api_server.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kPath[] = "/v1/messages";
constexpr char kToolReply[] =
    "hm</think>See:<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": 1}\n"
    "```<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
constexpr char kTools[] = R"("tools": [{"name": "f", "input_schema": {"type": "object"}}])";

std::string Body(const std::string& more = "") {
  return absl::StrCat(R"({"model": "bytes", "messages": [{"role": "user", "content": "What is 2+2?"}])",
                      more.empty() ? "" : ", ", more,
                      absl::StrContains(more, "max_tokens") ? "}" : R"(, "max_tokens": 100})");
}

Json Posted(const ApiServer& server, const std::string& body, int status = 200,
            const std::string& path = kPath) {
  const HttpReply reply = server.Post(path, body);
  EXPECT_EQ(reply.status, status) << reply.body;
  return Json::parse(reply.body);
}

// The events of a stream. Every event's name is its type.
std::vector<Json> Events(const HttpReply& reply) {
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_TRUE(reply.HasHeader("text/event-stream"));
  std::vector<Json> events;
  for (const absl::string_view block : absl::StrSplit(reply.body, "\n\n", absl::SkipEmpty())) {
    const std::vector<std::string> lines = absl::StrSplit(block, '\n');
    if (lines.size() != 2 || !absl::StartsWith(lines[0], "event: ") ||
        !absl::StartsWith(lines[1], "data: ")) {
      ADD_FAILURE() << block;
      continue;
    }
    events.push_back(Json::parse(lines[1].substr(6)));
    EXPECT_EQ(events.back()["type"], lines[0].substr(7));
  }
  return events;
}

// The message that a client gathers from the events, with `input` as the text of its parts. Checks the order.
Json Gathered(const std::vector<Json>& events) {
  EXPECT_GE(events.size(), 3u);
  EXPECT_EQ(events.front()["type"], "message_start");
  EXPECT_EQ(events.back()["type"], "message_stop");
  Json message = events.front()["message"];
  EXPECT_EQ(message["content"], Json::array());
  bool open = false;
  for (size_t i = 1; i + 1 < events.size(); ++i) {
    const Json& event = events[i];
    Json& content = message["content"];
    if (event["type"] == "content_block_start") {
      EXPECT_FALSE(std::exchange(open, true));
      EXPECT_EQ(event["index"], content.size());
      content.push_back(event["content_block"]);
      if (content.back()["type"] == "tool_use") content.back()["input"] = "";
    } else if (event["type"] == "content_block_delta") {
      EXPECT_TRUE(open);
      EXPECT_EQ(event["index"], content.size() - 1);
      Json& block = content.back();
      const Json& delta = event["delta"];
      const std::string kind = delta["type"];
      const auto add = [&](const char* field, const char* part) {
        block[field].get_ref<std::string&>() += delta[part].get_ref<const std::string&>();
      };
      if (kind == "text_delta") add("text", "text");
      if (kind == "thinking_delta") add("thinking", "thinking");
      if (kind == "signature_delta") add("signature", "signature");
      if (kind == "input_json_delta") add("input", "partial_json");
    } else if (event["type"] == "content_block_stop") {
      EXPECT_TRUE(std::exchange(open, false));
      EXPECT_EQ(event["index"], content.size() - 1);
    } else if (event["type"] == "message_delta") {
      EXPECT_EQ(i + 2, events.size());
      message.update(event["delta"]);
      message["usage"] = event["usage"];
    } else {
      EXPECT_EQ(event["type"], "ping");
    }
  }
  EXPECT_FALSE(open);
  return message;
}

class MessagesTest : public testing::Test {
 protected:
  explicit MessagesTest(std::string script = "2 and 2\n</think>\n\n4")
      : server_({.script = std::move(script)}) {
    server_.BecomeReady();
  }
  ApiServer server_;
};

TEST_F(MessagesTest, AnswersWithThinkingAndText) {
  const Json body = Posted(server_, Body());
  EXPECT_EQ(body["type"], "message");
  EXPECT_EQ(body["role"], "assistant");
  EXPECT_EQ(body["model"], "bytes");
  EXPECT_THAT(std::string(body["id"]), testing::StartsWith("msg_"));
  EXPECT_EQ(body["content"], Json::parse(R"([{"type": "thinking", "thinking": "2 and 2", "signature": ""},
                                             {"type": "text", "text": "4"}])"));
  EXPECT_EQ(body["stop_reason"], "end_turn");
  EXPECT_TRUE(body["stop_sequence"].is_null());
  const Json& usage = body["usage"];
  EXPECT_EQ(usage["input_tokens"], 1 + 1 + 12 + 1 + 1 + 1);
  EXPECT_EQ(usage["cache_read_input_tokens"], 0);
  EXPECT_EQ(usage["cache_creation_input_tokens"], 0);
  EXPECT_EQ(usage["output_tokens"], 8 + 1 + 2 + 1 + 1);
  EXPECT_EQ(usage["output_tokens_details"]["thinking_tokens"], 7);  // without the tag and its line breaks
}

TEST_F(MessagesTest, AStreamHasAnthropicsEventsAndTheSameMessage) {
  const std::vector<Json> events = Events(server_.Post(kPath, Body(R"("stream": true)")));
  std::vector<std::string> types;
  for (const Json& event : events) {
    if (types.empty() || types.back() != event["type"]) types.push_back(event["type"]);
  }
  EXPECT_THAT(types, ElementsAre("message_start", "content_block_start", "ping", "content_block_delta",
                                 "content_block_stop", "content_block_start", "content_block_delta",
                                 "content_block_stop", "message_delta", "message_stop"));
  EXPECT_TRUE(events.front()["message"]["stop_reason"].is_null());
  EXPECT_EQ(events.front()["message"]["usage"]["input_tokens"], 17);
  Json streamed = Gathered(events);
  Json whole = Posted(server_, Body());
  for (Json* message : {&streamed, &whole}) message->erase("id");
  EXPECT_EQ(streamed, whole);
}

TEST_F(MessagesTest, StopSequencesAndLimitsAreStopReasons) {
  Json body = Posted(server_, Body(R"("stop_sequences": ["x", "4"])"));
  EXPECT_EQ(body["stop_reason"], "stop_sequence");
  EXPECT_EQ(body["stop_sequence"], "4");
  body = Posted(server_, Body(R"("max_tokens": 3)"));
  EXPECT_EQ(body["stop_reason"], "max_tokens");
  EXPECT_EQ(body["content"], Json::parse(R"([{"type": "thinking", "thinking": "2 a", "signature": ""}])"));
  body = Posted(server_, Body(R"("max_tokens": 0)"));
  EXPECT_EQ(body["stop_reason"], "max_tokens");
  EXPECT_EQ(body["content"], Json::array());
}

TEST_F(MessagesTest, ErrorsHaveAnthropicsShape) {
  const auto expect = [&](const Json& body, const std::string& type, const std::string& words) {
    EXPECT_EQ(body["type"], "error");
    EXPECT_EQ(body["error"]["type"], type);
    EXPECT_THAT(std::string(body["error"]["message"]), HasSubstr(words));
  };
  expect(Posted(server_, "{", 400), "invalid_request_error", "not valid JSON");
  expect(Posted(server_, Body(R"("temperature": 3)"), 400), "invalid_request_error", "temperature is 3");
  expect(Posted(server_, R"({"model": "x", "max_tokens": 1, "messages": []})", 404), "not_found_error",
         "\"x\"");
  expect(Json::parse(server_.Get(kPath).body), "invalid_request_error", "POST");
  for (const char* path : {"/v1/messages/count_tokens", "/anthropic/v1/messages/count_tokens"}) {
    expect(Posted(server_, R"({"messages": 3})", 400, path), "invalid_request_error",
           "messages must be an array");
  }
  ApiServer loading;
  expect(Posted(loading, Body(), 503), "overloaded_error", "not ready");
}

TEST_F(MessagesTest, AFailedStreamEndsWithAnErrorEvent) {
  server_.executor().Allow(2);
  HttpClient client(server_.port());
  client.SendRequest("POST", kPath, Body(R"("stream": true)"));
  ASSERT_TRUE(client.ReadUntil("thinking_delta"));
  server_.executor().Fail(absl::UnavailableError("rank 1 is lost"));
  const std::vector<Json> events = Events(client.ReadReply());
  EXPECT_EQ(events.back()["type"], "error");
  EXPECT_EQ(events.back()["error"]["type"], "overloaded_error");
  EXPECT_THAT(std::string(events.back()["error"]["message"]), HasSubstr("rank 1"));
  EXPECT_TRUE(events.back()["request_id"].is_string());
}

TEST_F(MessagesTest, EveryAnswerHasTheRequestsId) {
  const auto ask = [&](const std::string& method, const std::string& path, const std::string& body,
                       const std::string& headers = "") {
    HttpClient client(server_.port());
    client.Send(absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: test\r\nx-request-id: mine-7\r\n",
                             headers, "Content-Length: ", body.size(), "\r\n\r\n", body));
    return client.ReadReply();
  };
  HttpClient large(server_.port());
  large.Send(
      "POST /v1/messages HTTP/1.1\r\nHost: test\r\nx-request-id: mine-7\r\nContent-Length: 99999999\r\n\r\n");
  const HttpReply replies[] = {
      large.ReadReply(),
      ask("POST", kPath, Body()),
      ask("POST", kPath, Body(R"("stream": true)")),
      ask("POST", kPath, "{"),
      ask("GET", kPath, ""),
      ask("POST", kPath, Body(), "Content-Type: text/plain\r\n"),
      ask("POST", kPath, Body(), "Content-Encoding: br\r\n"),
      ask("POST", "/v1/messages/count_tokens", "{}"),
      ask("POST", "/anthropic/v1/nothing", "{}"),
  };
  for (const HttpReply& reply : replies) {
    EXPECT_TRUE(reply.HasHeader("\r\nrequest-id: mine-7\r\n")) << reply.headers;
    EXPECT_TRUE(reply.HasHeader("\r\nx-request-id: mine-7\r\n")) << reply.headers;
    if (reply.status == 200) continue;
    EXPECT_EQ(Json::parse(reply.body)["request_id"], "mine-7") << reply.body;
  }
  EXPECT_EQ(std::ranges::count(replies, 200, &HttpReply::status), 2);
}

TEST_F(MessagesTest, PathsWithQueriesAndAPrefix) {
  for (const char* path : {"/v1/messages?beta=true", "/anthropic/v1/messages"}) {
    EXPECT_EQ(Posted(server_, Body(), 200, path)["type"], "message");
  }
  const Json counted = Posted(server_, R"({"messages": [{"role": "user", "content": "What is 2+2?"}]})", 200,
                              "/v1/messages/count_tokens?beta=true");
  EXPECT_EQ(counted, Json::parse(R"({"input_tokens": 17})"));
}

class MessagesToolsTest : public MessagesTest {
 protected:
  MessagesToolsTest() : MessagesTest(kToolReply) {}
};

TEST_F(MessagesToolsTest, CallsAreToolUseBlocks) {
  Json body = Posted(server_, Body(kTools));
  EXPECT_EQ(body["stop_reason"], "tool_use");
  ASSERT_EQ(body["content"].size(), 3u);
  EXPECT_EQ(body["content"][0]["thinking"], "hm");
  EXPECT_EQ(body["content"][1]["text"], "See:");
  Json call = body["content"][2];
  EXPECT_THAT(std::string(call["id"]), testing::StartsWith("toolu_"));
  call.erase("id");
  EXPECT_EQ(call, Json::parse(R"({"type": "tool_use", "name": "f", "input": {"a": 1}})"));

  const Json streamed =
      Gathered(Events(server_.Post(kPath, Body(absl::StrCat(kTools, R"(, "stream": true)")))));
  EXPECT_EQ(streamed["stop_reason"], "tool_use");
  ASSERT_EQ(streamed["content"].size(), 3u);
  EXPECT_EQ(streamed["content"][2]["name"], "f");
  EXPECT_EQ(Json::parse(streamed["content"][2]["input"].get<std::string>()), Json::parse(R"({"a": 1})"));
}

TEST(ToolInput, IsAnObjectWhateverTheModelWrote) {
  using anthropic::ToolInput;
  EXPECT_EQ(ToolInput(R"({"a": [1]})"), Json::parse(R"({"a": [1]})"));
  EXPECT_EQ(ToolInput(""), Json::object());
  for (const std::string text : {"{\"a\": ", "[1]", "x", "{\"a\": 1} {"}) {
    EXPECT_EQ(ToolInput(text), Json({{"INVALID_JSON", text}}));
  }
  EXPECT_TRUE(ToolInput("{\"a\":" + std::string(100'000, '[')).contains("INVALID_JSON"));
}

// Texts of random lengths, in random deltas: the blocks of a kind join to all texts of the kind.
TEST(AnswerBlocks, JoinToAllThatTheModelWrote) {
  using anthropic::AnswerBlocks;
  using anthropic::BlockEvent;
  using anthropic::BlockKind;
  std::mt19937 random(7);
  for (int round = 0; round < 10'000; ++round) {
    AnswerBlocks blocks;
    std::string wrote[3], blocked[3];  // by kind; a tool's name stands before its arguments
    std::vector<BlockEvent> events;
    int32_t calls = 0;
    const auto take = [&](const std::vector<BlockEvent>& more) {
      events.insert(events.end(), more.begin(), more.end());
    };
    for (uint32_t tokens = random() % 8; tokens > 0; --tokens) {
      TextDelta delta;
      const auto text = [&] { return std::string(random() % 3, static_cast<char>('a' + random() % 26)); };
      const uint32_t kind = random() % 4;
      if (kind == 0) wrote[0] += delta.reasoning = text();
      if (kind == 1) wrote[1] += delta.content = text();
      if (kind == 2) {
        delta.tool_calls.push_back({.call = calls++, .name = absl::StrCat("f", calls), .arguments = text()});
        absl::StrAppend(&wrote[2], delta.tool_calls[0].name, delta.tool_calls[0].arguments);
      }
      if (kind == 3 && !events.empty() && events.back().kind == BlockKind::kToolUse) {
        delta.tool_calls.push_back({.call = calls - 1, .arguments = text()});
        wrote[2] += delta.tool_calls[0].arguments;
        if (random() % 2 == 0) wrote[1] += delta.content = text();  // the token ended the call
      }
      take(blocks.Add(delta));
    }
    take(blocks.Finish());
    int32_t started = 0, stopped = 0;
    for (const BlockEvent& event : events) {
      if (event.type == BlockEvent::Type::kStart) ++started;
      EXPECT_EQ(event.index, started - 1);
      EXPECT_EQ(stopped, started - 1);
      if (event.type == BlockEvent::Type::kStop) ++stopped;
      blocked[static_cast<int>(event.kind)] += event.text;
    }
    EXPECT_EQ(stopped, started);
    for (int kind = 0; kind < 3; ++kind) ASSERT_EQ(blocked[kind], wrote[kind]) << "round " << round;
  }
}

}  // namespace
}  // namespace deeprack::coordinator
