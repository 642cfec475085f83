// /v1/responses over HTTP, with scripted workers.
#include "absl/strings/str_cat.h"
#include "coordinator/api/json_fields.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/api/api_server.h"
#include "tests/unit/api/response_events.h"

namespace deeprack::coordinator {
namespace {

using ::testing::HasSubstr;
constexpr char kPath[] = "/v1/responses";
constexpr char kToolFields[] =
    R"("tools": [{"type": "function", "name": "add", "parameters": {"type": "object"}}])";
constexpr char kCallScript[] =
    "I "
    "add\n</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": "
    "1}\n```"
    "<｜tool▁call▁end｜><｜tool▁calls▁end｜>";

std::string Body(const std::string& more = "") {
  return R"({"model": "bytes", "input": "What is 2+2?")" + (more.empty() ? more : ", " + more) + "}";
}

Json PostJson(const ApiServer& server, const std::string& path, const std::string& body, int status = 200) {
  const HttpReply reply = server.Post(path, body);
  EXPECT_EQ(reply.status, status) << reply.body;
  return Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
}

Json GetJson(const ApiServer& server, const std::string& path, int status = 200) {
  const HttpReply reply = server.Get(path);
  EXPECT_EQ(reply.status, status) << reply.body;
  return Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
}

// The texts of the output's items, each after its type.
std::string Texts(const Json& response) {
  std::string texts;
  for (const Json& item : response["output"]) {
    const bool call = item["type"] == "function_call";
    absl::StrAppend(&texts, item["type"].get<std::string>(), "(",
                    (call ? item["arguments"] : item["content"][0]["text"]).get<std::string>(), ")");
  }
  return texts;
}

class ResponsesTest : public testing::Test {
 protected:
  ResponsesTest() { server_.BecomeReady(); }
  ApiServer server_;
};

TEST_F(ResponsesTest, AnswersWithReasoningAndAMessage) {
  const Json response = PostJson(server_, kPath, Body(R"("metadata": {"a": "b"}, "temperature": 0.5)"));
  EXPECT_EQ(response["object"], "response");
  EXPECT_EQ(response["status"], "completed");
  EXPECT_EQ(response["id"].get<std::string>().rfind("resp_", 0), 0u);
  EXPECT_EQ(response["model"], "bytes");
  EXPECT_EQ(Texts(response), "reasoning(2 and 2)message(4)");
  EXPECT_EQ(response["output"][1]["role"], "assistant");
  EXPECT_EQ(response["output"][1]["status"], "completed");
  EXPECT_TRUE(response["error"].is_null() && response["incomplete_details"].is_null());
  EXPECT_EQ(response["metadata"], Json::parse(R"({"a": "b"})"));
  EXPECT_EQ(response["temperature"], 0.5);
  EXPECT_EQ(response["usage"], Json::parse(R"({"input_tokens": 17,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 17},
    "output_tokens": 13, "output_tokens_details": {"reasoning_tokens": 7}, "total_tokens": 30})"));
}

TEST_F(ResponsesTest, TheStreamSaysTheSameInEvents) {
  const Json whole = PostJson(server_, kPath, Body());
  const HttpReply reply = server_.Post(kPath, Body(R"("stream": true)"));
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.HasHeader("text/event-stream"));
  const Json response = ReadResponseStream(reply.body);
  EXPECT_EQ(response["status"], "completed");
  EXPECT_EQ(Texts(response), Texts(whole));
  EXPECT_EQ(response["usage"]["output_tokens"], whole["usage"]["output_tokens"]);
  EXPECT_EQ(reply.body.find("[DONE]"), reply.body.npos);
}

TEST_F(ResponsesTest, ACutAnswerIsIncomplete) {
  for (const char* stream : {"false", "true"}) {
    const HttpReply reply =
        server_.Post(kPath, Body(absl::StrCat(R"("max_output_tokens": 3, "stream": )", stream)));
    const Json response =
        std::string(stream) == "true" ? ReadResponseStream(reply.body) : Json::parse(reply.body);
    EXPECT_EQ(response["status"], "incomplete");
    EXPECT_EQ(response["incomplete_details"], Json::parse(R"({"reason": "max_output_tokens"})"));
    EXPECT_EQ(Texts(response), "reasoning(2 a)");
    EXPECT_EQ(response["output"][0]["status"], "incomplete");
    EXPECT_EQ(response["max_output_tokens"], 3);
  }
}

TEST_F(ResponsesTest, LogprobsAreThoseOfTheText) {
  const Json response =
      PostJson(server_, kPath, Body(R"("include": ["message.output_text.logprobs"], "top_logprobs": 2)"));
  const Json& logprobs = response["output"][1]["content"][0]["logprobs"];
  ASSERT_EQ(logprobs.size(), 1u);
  EXPECT_EQ(logprobs[0]["token"], "4");
  EXPECT_EQ(logprobs[0]["top_logprobs"].size(), 2u);
}

TEST_F(ResponsesTest, AStoredResponseIsFoundListedAndDeleted) {
  const Json response = PostJson(server_, kPath, Body());
  const std::string path = absl::StrCat(kPath, "/", response["id"].get<std::string>());
  EXPECT_EQ(GetJson(server_, path), response);
  const Json items = GetJson(server_, path + "/input_items");
  EXPECT_EQ(items["object"], "list");
  ASSERT_EQ(items["data"].size(), 1u);
  EXPECT_EQ(items["data"][0]["content"], Json::parse(R"([{"type": "input_text", "text": "What is 2+2?"}])"));
  EXPECT_EQ(items["first_id"], items["data"][0]["id"]);
  EXPECT_EQ(items["has_more"], false);
  EXPECT_THAT(PostJson(server_, path + "/cancel", "", 400)["error"]["message"].get<std::string>(),
              HasSubstr("Cannot cancel a synchronous response"));

  const HttpReply deleted = HttpClient(server_.port()).Request("DELETE", path);
  EXPECT_EQ(deleted.status, 200);
  EXPECT_EQ(Json::parse(deleted.body)["deleted"], true);
  EXPECT_EQ(HttpClient(server_.port()).Request("DELETE", path).status, 404);
  const Json missing = GetJson(server_, path, 404);
  EXPECT_EQ(missing["error"]["type"], "invalid_request_error");
  EXPECT_THAT(missing["error"]["message"].get<std::string>(), HasSubstr("not found"));
  GetJson(server_, path + "/input_items", 404);
  PostJson(server_, path + "/cancel", "", 404);
}

TEST_F(ResponsesTest, WithoutStoreNothingIsKept) {
  const Json response = PostJson(server_, kPath, Body(R"("store": false)"));
  EXPECT_EQ(response["store"], false);
  GetJson(server_, absl::StrCat(kPath, "/", response["id"].get<std::string>()), 404);
  EXPECT_EQ(server_.context().responses().size(), 0u);
}

TEST_F(ResponsesTest, AConversationGoesOnFromAStream) {
  const Json first = ReadResponseStream(server_.Post(kPath, Body(R"("stream": true)")).body);
  const std::string id = first["id"];
  const Json second =
      PostJson(server_, kPath, absl::StrCat(R"({"input": "And 3?", "previous_response_id": ")", id, "\"}"));
  EXPECT_EQ(second["previous_response_id"], id);
  EXPECT_GT(second["usage"]["input_tokens"], first["usage"]["input_tokens"]);
  const std::string list =
      absl::StrCat(kPath, "/", second["id"].get<std::string>(), "/input_items?order=asc");
  const Json items = GetJson(server_, list);
  ASSERT_EQ(items["data"].size(), 4u);
  EXPECT_EQ(items["data"][1]["id"], first["output"][0]["id"]);
  EXPECT_EQ(items["data"][2]["id"], first["output"][1]["id"]);
  EXPECT_EQ(items["data"][3]["content"][0]["text"], "And 3?");

  const Json page =
      GetJson(server_, absl::StrCat(list, "&limit=2&after=", items["data"][0]["id"].get<std::string>()));
  ASSERT_EQ(page["data"].size(), 2u);
  EXPECT_EQ(page["data"][0], items["data"][1]);
  EXPECT_EQ(page["has_more"], true);
  EXPECT_EQ(GetJson(server_, list + "&after=nothing")["data"], Json::array());
  GetJson(server_, list + "&limit=0", 400);
  GetJson(server_, list + "&limit=x", 400);
}

TEST_F(ResponsesTest, ALongConversationIsReadAside) {
  const std::string padding(70000, ' ');
  const Json first = PostJson(server_, kPath, absl::StrCat(R"({"input": "Hi)", padding, "\"}"), 400);
  EXPECT_EQ(first["error"]["code"], "context_length_exceeded");
  server_.context().responses().Add(
      "", "resp_long",
      {.json = "{}",
       .input = {std::make_shared<const ConversationItem>(ConversationItem{
           .id = "msg_long",
           .json =
               R"({"id": "msg_long", "type": "message", "role": "user", "content": [{"type": "input_text", "text": ")" +
               padding + "\"}]}"})}});
  const Json second =
      PostJson(server_, kPath, R"({"input": "Hi", "previous_response_id": "resp_long"})", 400);
  EXPECT_EQ(second["error"]["code"], "context_length_exceeded");
}

TEST_F(ResponsesTest, ErrorsAreOpenAis) {
  const Json error =
      PostJson(server_, kPath, R"({"input": "x", "previous_response_id": "resp_0"})", 400)["error"];
  EXPECT_EQ(error["code"], "previous_response_not_found");
  EXPECT_EQ(error["param"], "previous_response_id");
  EXPECT_EQ(PostJson(server_, kPath, R"({"input": "x", "model": "other"})", 404)["error"]["code"],
            "model_not_found");
}

TEST(Responses, AToolCallAndItsOutput) {
  ApiServer server({.script = kCallScript});
  server.BecomeReady();
  const Json whole = PostJson(server, kPath, Body(kToolFields));
  const HttpReply reply = server.Post(kPath, Body(absl::StrCat(kToolFields, R"(, "stream": true)")));
  const Json response = ReadResponseStream(reply.body);
  EXPECT_EQ(Texts(response), R"(reasoning(I add)function_call({"a": 1}))");
  EXPECT_EQ(Texts(whole), Texts(response));
  const Json& call = response["output"].back();
  EXPECT_EQ(call["name"], "add");
  EXPECT_EQ(response["status"], "completed");

  const Json next = PostJson(
      server, kPath,
      Json({{"previous_response_id", response["id"]},
            {"tools", response["tools"]},
            {"input",
             Json::array(
                 {{{"type", "function_call_output"}, {"call_id", call["call_id"]}, {"output", "2"}}})}})
          .dump());
  EXPECT_GT(next["usage"]["input_tokens"], response["usage"]["input_tokens"]);

  // The same conversation without the store: the client sends the items back.
  Json input = response["output"];
  const Json question = {{"role", "user"}, {"content", "What is 2+2?"}};
  const Json output = {{"type", "function_call_output"}, {"call_id", call["call_id"]}, {"output", "2"}};
  input.insert(input.begin(), question);
  input.push_back(output);
  const Json again = PostJson(
      server, kPath, Json({{"input", input}, {"tools", response["tools"]}, {"store", false}}).dump());
  EXPECT_EQ(again["usage"]["input_tokens"], next["usage"]["input_tokens"]);
}

TEST(Responses, ALostClusterFailsTheStreamOnce) {
  ApiServer server;
  server.BecomeReady();
  server.executor().Allow(2);
  HttpClient client(server.port());
  client.SendRequest("POST", kPath, Body(R"("stream": true)"));
  ASSERT_TRUE(client.ReadUntil("response.in_progress"));
  server.executor().Fail(absl::InternalError("a rank broke"));
  const Json response = ReadResponseStream(client.ReadReply().body);
  EXPECT_EQ(response["status"], "failed");
  EXPECT_EQ(response["error"]["code"], "server_error");
  EXPECT_TRUE(response["usage"].is_null());
}

TEST(Responses, AClientThatLeavesEndsItsSequence) {
  ApiServer server;
  server.BecomeReady();
  server.executor().Allow(2);
  HttpClient client(server.port());
  client.SendRequest("POST", kPath, Body(R"("stream": true)"));
  ASSERT_TRUE(client.ReadUntil("response.in_progress"));
  client.Close();
  EXPECT_TRUE(server.MetricsSay("finished_reason=\"abort\",model_name=\"bytes\"} 1"));
  server.executor().Allow(-1);  // the step under way ends, and the sequence with it
  EXPECT_TRUE(server.BecomesIdle());
  EXPECT_EQ(server.context().responses().size(), 0u);
}

}  // namespace
}  // namespace deeprack::coordinator
