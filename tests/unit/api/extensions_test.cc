// What other servers have beyond OpenAI's API: llama.cpp's own completion and timings, vLLM's stop_reason and
// the echo of a chat.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "coordinator/api/answer_json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/unit/api/api_server.h"
#include "tests/unit/api/endpoint_requests.h"

namespace deeprack::coordinator {
namespace {

using ::testing::HasSubstr;

constexpr char kNative[] = "/completion";

Json AnswerOf(const std::string& path, const std::string& body, int status = 200) {
  const HttpReply reply = Server().Post(path, body);
  EXPECT_EQ(reply.status, status) << body << "\n" << reply.body;
  return Json::parse(reply.body);
}

std::vector<Json> EventsOf(const std::string& path, const std::string& body) {
  std::vector<Json> events;
  for (const std::string& event : Events(Server().Post(path, body).body)) {
    if (event != "[DONE]") events.push_back(Json::parse(event));
  }
  return events;
}

Json ChoiceOf(const std::string& path, const std::string& body) { return AnswerOf(path, body)["choices"][0]; }

// Every sequence generates "2 and 2\n</think>\n\n4" and ends (api_server.h). The tag is a special token.
TEST(NativeCompletion, AnswersInLlamaCppsShape) {
  const Json body = AnswerOf(kNative, R"({"prompt": "ab", "return_tokens": true, "seed": 7, "top_k": 3})");
  EXPECT_EQ(body["content"], "2 and 2\n\n\n4");
  EXPECT_EQ(body["tokens"].size(), 13u);  // with the end token
  EXPECT_EQ(body["index"], 0);
  EXPECT_EQ(body["stop"], true);
  EXPECT_EQ(body["stop_type"], "eos");
  EXPECT_EQ(body["stopping_word"], "");
  EXPECT_EQ(body["truncated"], false);
  EXPECT_EQ(body["has_new_line"], true);
  EXPECT_EQ(body["prompt"], "<｜begin▁of▁sentence｜>ab");
  EXPECT_EQ(body["model"], "bytes");
  EXPECT_EQ(body["tokens_evaluated"], 3);
  EXPECT_EQ(body["tokens_predicted"], 13);
  EXPECT_EQ(body["tokens_cached"], 16);
  EXPECT_EQ(body["generation_settings"]["seed"], 7);
  EXPECT_EQ(body["generation_settings"]["top_k"], 3);
  EXPECT_EQ(body["generation_settings"]["n_predict"], -1);
  EXPECT_EQ(body["timings"]["prompt_n"], 3);
  EXPECT_EQ(body["timings"]["predicted_n"], 13);
  EXPECT_FALSE(body.contains("completion_probabilities"));
}

TEST(NativeCompletion, SaysWhyItEnded) {
  const Json limit = AnswerOf(kNative, R"({"prompt": "ab", "n_predict": 3})");
  EXPECT_EQ(limit["content"], "2 a");
  EXPECT_EQ(limit["stop_type"], "limit");
  EXPECT_EQ(limit["truncated"], false);
  EXPECT_EQ(limit["has_new_line"], false);
  EXPECT_EQ(limit["tokens"], Json::array());
  const Json room = AnswerOf(kNative, R"({"prompt": "ab", "ignore_eos": true})");
  EXPECT_EQ(room["stop_type"], "limit");
  EXPECT_EQ(room["truncated"], true);  // the context is full
  EXPECT_EQ(room["tokens_cached"], 512);
  const Json word = AnswerOf(kNative, R"({"prompt": "ab", "stop": ["d 2"]})");
  EXPECT_EQ(word["content"], "2 an");
  EXPECT_EQ(word["stop_type"], "word");
  EXPECT_EQ(word["stopping_word"], "d 2");
}

// Token t has log-probability -(t+1)/16, and the most likely tokens are a, b, ... (scripted_executor.h).
TEST(NativeCompletion, HasProbabilities) {
  const Json body = AnswerOf(kNative, R"({"prompt": "ab", "n_predict": 2, "n_probs": 1})");
  EXPECT_EQ(body["completion_probabilities"],
            Json::parse(R"([{"id": 50, "token": "2", "bytes": [50], "logprob": -3.1875, "top_logprobs": [
                                {"id": 97, "token": "a", "bytes": [97], "logprob": -6.125}]},
                            {"id": 32, "token": " ", "bytes": [32], "logprob": -2.0625, "top_logprobs": [
                                {"id": 97, "token": "a", "bytes": [97], "logprob": -6.125}]}])"));
  EXPECT_EQ(body["generation_settings"]["n_probs"], 1);
}

TEST(NativeCompletion, SeveralAnswersAreAnArray) {
  const Json body = AnswerOf(kNative, R"({"prompt": ["a", [98, 99]], "n": 2, "n_predict": 1})");
  ASSERT_EQ(body.size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(body[i]["index"], i);
    EXPECT_EQ(body[i]["prompt"], i < 2 ? "<｜begin▁of▁sentence｜>a" : "bc");
  }
}

TEST(NativeCompletion, StreamsTheSame) {
  const std::string asked = R"({"prompt": "ab", "stop": "d 2", "n_probs": 1, "timings_per_token": true)";
  const Json whole = AnswerOf(kNative, asked + "}");
  const HttpReply reply = Server().Post(kNative, asked + R"(, "stream": true})");
  EXPECT_THAT(reply.body, ::testing::Not(HasSubstr("[DONE]")));
  std::vector<Json> events = EventsOf(kNative, asked + R"(, "stream": true})");
  ASSERT_GE(events.size(), 3u);
  const Json last = events.back();
  events.pop_back();
  std::string content;
  size_t tokens = last["tokens"].size(), probabilities = 0;
  for (const Json& event : events) {
    EXPECT_EQ(event["stop"], false);
    EXPECT_TRUE(event.contains("timings"));
    EXPECT_FALSE(event["tokens"].empty());
    content += event["content"].get<std::string>();
    tokens += event["tokens"].size();
    probabilities += event["completion_probabilities"].size();
  }
  EXPECT_EQ(content, "2 an");
  EXPECT_EQ(tokens, last["tokens_predicted"]);
  EXPECT_EQ(probabilities, whole["completion_probabilities"].size());
  EXPECT_EQ(last["stop"], true);
  EXPECT_EQ(last["content"], "");
  for (const char* field : {"stop_type", "stopping_word", "prompt", "tokens_predicted", "truncated"}) {
    EXPECT_EQ(last[field], whole[field]) << field;
  }
}

TEST(NativeCompletion, RefusesByName) {
  const std::pair<const char*, const char*> bad[] = {
      {"{}", "prompt"},
      {R"({"prompt": "a", "n_predict": -2})", "n_predict"},
      {R"({"prompt": "a", "n_probs": 21})", "n_probs"},
      {R"({"prompt": "a", "logprobs": 2})", "logprobs"},
      {R"({"prompt": "a", "grammar": "root ::= a", "json_schema": {"type": "null"}})", "json_schema"},
      {R"({"prompt": "a", "echo": true})", "echo"},
  };
  for (const auto& [body, field] : bad) EXPECT_EQ(AnswerOf(kNative, body, 400)["error"]["param"], field);
}

TEST(NativeCompletion, AFailureIsTheStreamsLastEvent) {
  ApiServer server;
  server.BecomeReady();
  server.executor().Allow(2);
  HttpClient client(server.port());
  client.SendRequest("POST", kNative, R"({"prompt": "ab", "stream": true})");
  ASSERT_TRUE(client.ReadUntil("content"));
  server.executor().Fail(absl::UnavailableError("rank 1 is lost"));
  const std::vector<std::string> events = Events(client.ReadReply().body);
  ASSERT_FALSE(events.empty());
  EXPECT_THAT(Json::parse(events.back())["error"]["message"], HasSubstr("rank 1"));
}

TEST(Timings, HaveRates) {
  const Json timings = TimingsJson({.prompt_tokens = 18,
                                    .cached_tokens = 2,
                                    .generated_tokens = 5,
                                    .prompt = absl::Milliseconds(32),
                                    .generation = absl::Milliseconds(8)});
  EXPECT_EQ(timings, Json::parse(R"({"cache_n": 2, "prompt_n": 16, "prompt_ms": 32.0,
      "prompt_per_token_ms": 2.0, "prompt_per_second": 500.0, "predicted_n": 5, "predicted_ms": 8.0,
      "predicted_per_token_ms": 2.0, "predicted_per_second": 500.0})"));
}

TEST(Timings, AreThoseOfTheSequence) {
  const Json timings = AnswerOf(kChat, ChatBody(R"("timings_per_token": true, "max_tokens": 2)"))["timings"];
  EXPECT_EQ(timings["cache_n"], 0);
  EXPECT_EQ(timings["prompt_n"], 17);
  EXPECT_EQ(timings["predicted_n"], 2);
  EXPECT_GT(timings["prompt_ms"], 0);
  EXPECT_GT(timings["predicted_ms"], 0);
}

TEST(Timings, OfOneTokenHaveNoRateOfGeneration) {
  const Json timings =
      AnswerOf(kCompletions, R"({"prompt": "a", "max_tokens": 1, "timings_per_token": true})")["timings"];
  EXPECT_EQ(timings["predicted_ms"], 0.0);
  EXPECT_EQ(timings["predicted_per_second"], 0.0);
  EXPECT_EQ(timings["predicted_per_token_ms"], 0.0);
}

TEST(Timings, StandInEachEventOnRequest) {
  const std::string asked =
      R"("stream": true, "stream_options": {"include_usage": true}, "timings_per_token": true)";
  const std::vector<Json> chat = EventsOf(kChat, ChatBody(asked));
  ASSERT_GE(chat.size(), 3u);
  EXPECT_FALSE(chat.front().contains("timings"));  // the event with the role
  for (size_t i = 1; i < chat.size(); ++i) EXPECT_TRUE(chat[i].contains("timings")) << chat[i];
  EXPECT_EQ(chat.back()["timings"]["predicted_n"], 13);
  const std::vector<Json> completion =
      EventsOf(kCompletions, absl::StrCat(R"({"prompt": "a", )", asked, "}"));
  for (const Json& event : completion) EXPECT_TRUE(event.contains("timings")) << event;
  EXPECT_FALSE(AnswerOf(kChat, ChatBody()).contains("timings"));
  EXPECT_FALSE(AnswerOf(kCompletions, R"({"prompt": "a"})").contains("timings"));
}

TEST(StopReason, IsTheStopStringOrTheStopToken) {
  const std::pair<const char*, Json> ends[] = {{R"("stop": ["nd", "x"], "stop_in_reasoning": true)", "nd"},
                                               {R"("stop_token_ids": [97])", 97},
                                               {R"("stop_token_ids": [257])", nullptr},
                                               {R"("max_tokens": 3)", nullptr},
                                               {R"("max_tokens": 40)", nullptr}};
  for (const auto& [more, reason] : ends) {
    EXPECT_EQ(ChoiceOf(kChat, ChatBody(more))["stop_reason"], reason) << more;
    EXPECT_EQ(ChoiceOf(kCompletions, absl::StrCat(R"({"prompt": "a", )", more, "}"))["stop_reason"], reason)
        << more;
    for (const auto& [path, body] :
         {std::pair(kChat, ChatBody(absl::StrCat(more, R"(, "stream": true)"))),
          std::pair(kCompletions, absl::StrCat(R"({"prompt": "a", )", more, R"(, "stream": true})"))}) {
      const std::vector<Json> events = EventsOf(path, body);
      ASSERT_FALSE(events.empty());
      EXPECT_FALSE(events.front()["choices"][0].contains("stop_reason"));
      EXPECT_EQ(events.back()["choices"][0].at("stop_reason"), reason) << more;
    }
  }
}

TEST(Echo, PutsTheLastMessageOfTheAssistantFirst) {
  const auto chat = [](const std::string& more) {
    return absl::StrCat(R"({"messages": [{"role": "user", "content": "c"},
                                         {"role": "assistant", "content": "An apple", "prefix": true}], )",
                        more, "}");
  };
  const std::string answer = ChoiceOf(kChat, chat(R"("max_tokens": 3)"))["message"]["content"];
  EXPECT_EQ(answer, "2 a");
  EXPECT_EQ(ChoiceOf(kChat, chat(R"("max_tokens": 3, "echo": true)"))["message"]["content"], "An apple2 a");
  std::string streamed;
  const std::vector<Json> events =
      EventsOf(kChat, chat(R"("max_tokens": 3, "echo": true, "stream": true, "timings_per_token": true)"));
  for (const Json& event : events) {
    streamed += event["choices"][0]["delta"].value("content", "");
    EXPECT_EQ(event.contains("timings"), &event != &events.front()) << event;
  }
  EXPECT_EQ(streamed, "An apple2 a");
  EXPECT_EQ(ChoiceOf(kChat, ChatBody(R"("echo": true)"))["message"]["content"], "4");
}

}  // namespace
}  // namespace deeprack::coordinator
