// Whole requests over HTTP, with scripted workers.
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "coordinator/api/json_fields.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/api/api_server.h"
#include "tests/unit/api/endpoint_requests.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
class EndpointsTest : public testing::Test {
 protected:
  EndpointsTest() { server_.BecomeReady(); }
  Json PostJson(const std::string& path, const std::string& body, int status = 200) {
    const HttpReply reply = server_.Post(path, body);
    EXPECT_EQ(reply.status, status) << reply.body;
    return Json::parse(reply.body);
  }
  ApiServer server_;
};

TEST_F(EndpointsTest, ChatAnswersWithReasoningAndContent) {
  const Json body = PostJson(kChat, ChatBody());
  EXPECT_EQ(body["object"], "chat.completion");
  const Json& choice = body["choices"][0];
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["message"]["content"], "4");
  EXPECT_EQ(choice["message"]["reasoning_content"], "2 and 2");
  EXPECT_FALSE(choice["message"].contains("reasoning"));
  EXPECT_EQ(choice["finish_reason"], "stop");
  const Json& usage = body["usage"];
  EXPECT_EQ(usage["prompt_tokens"], 1 + 1 + 12 + 1 + 1 + 1);
  EXPECT_EQ(usage["completion_tokens"], 8 + 1 + 2 + 1 + 1);  // the end token counts too
  EXPECT_EQ(usage["completion_tokens_details"]["reasoning_tokens"],
            7);  // without the tag and its line breaks
  EXPECT_EQ(usage["prompt_cache_miss_tokens"], usage["prompt_tokens"]);
}

TEST_F(EndpointsTest, ChatStreamSaysTheSameInPieces) {
  const HttpReply reply =
      server_.Post(kChat, ChatBody(R"("stream": true, "stream_options": {"include_usage": true})"));
  EXPECT_EQ(reply.status, 200);
  std::vector<std::string> events = Events(reply.body);
  ASSERT_GE(events.size(), 5u);
  EXPECT_EQ(events.back(), "[DONE]");
  events.pop_back();
  std::string reasoning, content;
  std::vector<std::string> finish;
  for (size_t i = 0; i + 1 < events.size(); ++i) {
    const Json chunk = Json::parse(events[i]);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_TRUE(chunk["usage"].is_null());
    const Json& choice = chunk["choices"][0];
    EXPECT_EQ(choice["delta"].contains("role"), i == 0);
    reasoning += choice["delta"].value("reasoning_content", "");
    content += choice["delta"].value("content", "");
    if (!choice["finish_reason"].is_null()) finish.push_back(choice["finish_reason"]);
  }
  EXPECT_EQ(reasoning, "2 and 2");
  EXPECT_EQ(content, "4");
  EXPECT_THAT(finish, ElementsAre("stop"));
  const Json last = Json::parse(events.back());
  EXPECT_TRUE(last["choices"].empty());
  EXPECT_EQ(last["usage"]["completion_tokens"], 13);
}

TEST_F(EndpointsTest, DefaultsComeFromTheModelAndRequestsOverrideThem) {
  PostJson(kChat, ChatBody());
  EXPECT_FLOAT_EQ(server_.executor().last_sampling().temperature, 0.6f);
  EXPECT_FLOAT_EQ(server_.executor().last_sampling().top_p, 0.95f);
  PostJson(kChat,
           ChatBody(R"("temperature": 0, "top_p": 0.5, "top_k": 7, "seed": 11, "logit_bias": {"65": -3})"));
  const model::SamplingParams sampling = server_.executor().last_sampling();
  EXPECT_EQ(sampling.temperature, 0.0f);
  EXPECT_FLOAT_EQ(sampling.top_p, 0.5f);
  EXPECT_EQ(sampling.top_k, 7);
  EXPECT_EQ(sampling.seed, 11u);
  EXPECT_THAT(sampling.logit_bias, ElementsAre(std::pair<TokenId, float>(65, -3.0f)));
}

TEST_F(EndpointsTest, SeveralAnswersAndStopStrings) {
  const Json body = PostJson(kChat, ChatBody(R"("n": 3, "stop": "nd", "stop_in_reasoning": true)"));
  ASSERT_EQ(body["choices"].size(), 3u);
  for (const Json& choice : body["choices"]) {
    EXPECT_EQ(choice["message"]["reasoning_content"], "2 a");
    EXPECT_EQ(choice["message"]["content"], "");
    EXPECT_EQ(choice["finish_reason"], "stop");
  }
  EXPECT_TRUE(server_.BecomesIdle());
}

TEST_F(EndpointsTest, MaxTokensEndsWithLength) {
  for (const char* field : {"max_tokens", "max_completion_tokens"}) {
    const Json body = PostJson(kChat, ChatBody("\"" + std::string(field) + "\": 3"));
    EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
    EXPECT_EQ(body["choices"][0]["message"]["reasoning_content"], "2 a");
    EXPECT_EQ(body["usage"]["completion_tokens"], 3);
  }
}

TEST_F(EndpointsTest, ChatLogprobs) {
  const Json body = PostJson(kChat, ChatBody(R"("logprobs": true, "top_logprobs": 2, "max_tokens": 1)"));
  EXPECT_EQ(body["choices"][0]["logprobs"]["content"], Json::array());
  const Json& entry = body["choices"][0]["logprobs"]["reasoning_content"][0];
  EXPECT_EQ(entry["token"], "2");
  EXPECT_EQ(entry["bytes"], Json::array({50}));
  EXPECT_FLOAT_EQ(entry["logprob"], -51.0f / 16);
  ASSERT_EQ(entry["top_logprobs"].size(), 2u);
  EXPECT_EQ(entry["top_logprobs"][0]["token"], "a");
}

TEST_F(EndpointsTest, TokenIdsOnRequest) {
  const Json body =
      PostJson(kCompletions, R"({"prompt": [65, 66], "return_token_ids": true, "max_tokens": 2})");
  EXPECT_EQ(body["choices"][0]["prompt_token_ids"], Json::array({65, 66}));
  EXPECT_EQ(body["choices"][0]["token_ids"], Json::array({'2', ' '}));
}

TEST_F(EndpointsTest, CompletionEchoAndLogprobs) {
  const Json body =
      PostJson(kCompletions, R"({"prompt": "héy", "echo": true, "logprobs": 1, "max_tokens": 2})");
  const Json& choice = body["choices"][0];
  EXPECT_EQ(choice["text"], "héy2 ");
  const Json& logprobs = choice["logprobs"];
  EXPECT_EQ(logprobs["tokens"],
            Json::array({"<｜begin▁of▁sentence｜>", "h", "bytes:\\xc3", "bytes:\\xa9", "y", "2", " "}));
  EXPECT_EQ(logprobs["text_offset"], Json::array({0, 0, 1, 2, 2, 3, 4}));
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
  EXPECT_FLOAT_EQ(logprobs["token_logprobs"][1], -105.0f / 16);
  EXPECT_EQ(logprobs["top_logprobs"][1].size(), 2u);  // the likeliest token, and the token itself
}

// Token t has log-probability -(t+1)/16, and the most likely tokens are a, b, ... (scripted_executor.h).
TEST_F(EndpointsTest, PromptLogprobsHaveVllmsShape) {
  const Json expected = Json::parse(R"([null,
      {"66": {"logprob": -4.1875, "rank": null, "decoded_token": "B"},
       "97": {"logprob": -6.125, "rank": 1, "decoded_token": "a"},
       "98": {"logprob": -6.1875, "rank": 2, "decoded_token": "b"}},
      {"98": {"logprob": -6.1875, "rank": 2, "decoded_token": "b"},
       "97": {"logprob": -6.125, "rank": 1, "decoded_token": "a"}}])");
  const std::string prompt = R"({"prompt": [65, 66, 98], "max_tokens": 1, "prompt_logprobs": )";
  for (const char* n : {"1", "2"}) {
    const Json body = PostJson(kCompletions, absl::StrCat(prompt, R"(2, "n": )", n, "}"));
    for (const Json& choice : body["choices"]) {
      EXPECT_EQ(Json::parse(choice["prompt_logprobs"].dump()), expected) << body;
      EXPECT_TRUE(choice["logprobs"].is_null());
      EXPECT_EQ(choice["text"], "2");
    }
  }
  // The token itself, and no likely ones. The echo has as many as `logprobs` says.
  const Json echoed =
      PostJson(kCompletions, absl::StrCat(prompt, R"(0, "echo": true, "logprobs": 1})"))["choices"][0];
  EXPECT_EQ(echoed["prompt_logprobs"][1].size(), 1u);
  EXPECT_EQ(echoed["prompt_logprobs"][1]["66"]["rank"], Json());
  EXPECT_EQ(echoed["logprobs"]["top_logprobs"][1].size(), 2u);
  const Json fewer =
      PostJson(kCompletions, absl::StrCat(prompt, R"(2, "echo": true, "logprobs": 0})"))["choices"][0];
  EXPECT_EQ(fewer["logprobs"]["top_logprobs"][1].size(), 1u);
  EXPECT_TRUE(PostJson(kCompletions, absl::StrCat(prompt, R"(2, "echo": true})"))["choices"][0]["logprobs"]
                  .is_null());

  const Json chat = PostJson(kChat, ChatBody(R"("prompt_logprobs": 1, "n": 2, "return_token_ids": true)"));
  EXPECT_EQ(chat["prompt_logprobs"].size(), chat["prompt_token_ids"].size());
  EXPECT_EQ(chat["prompt_logprobs"][0], Json());
  EXPECT_EQ(chat["prompt_logprobs"][1].size(), 2u);
  EXPECT_FALSE(PostJson(kChat, ChatBody("")).contains("prompt_logprobs"));
}

TEST_F(EndpointsTest, LogprobsNameTokensByIdOnRequest) {
  const Json body = PostJson(
      kCompletions,
      R"({"prompt": [65, 66], "echo": true, "logprobs": 1, "max_tokens": 1, "return_tokens_as_token_ids": true})");
  const Json& logprobs = body["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Json::array({"token_id:65", "token_id:66", "token_id:50"}));
  EXPECT_TRUE(logprobs["top_logprobs"][1].contains("token_id:66"));
  const Json chat =
      PostJson(kChat, ChatBody(R"("logprobs": true, "max_tokens": 1, "return_tokens_as_token_ids": true)"));
  EXPECT_EQ(chat["choices"][0]["logprobs"]["reasoning_content"][0]["token"], "token_id:50");
}

TEST_F(EndpointsTest, OnlyThePrompt) {
  const Json body =
      PostJson(kCompletions, R"({"prompt": [65, 66, 67], "echo": true, "logprobs": 0, "max_tokens": 0})");
  EXPECT_EQ(body["choices"][0]["text"], "ABC");
  EXPECT_EQ(body["choices"][0]["logprobs"]["tokens"].size(), 3u);
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(body["usage"]["completion_tokens"], 0);
}

TEST_F(EndpointsTest, SeveralPrompts) {
  const Json body =
      PostJson(kCompletions, R"({"prompt": ["a", "b"], "n": 2, "echo": true, "max_tokens": 1})");
  ASSERT_EQ(body["choices"].size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(body["choices"][i]["index"], i);
    EXPECT_EQ(body["choices"][i]["text"], i < 2 ? "a2" : "b2");
  }
  EXPECT_EQ(body["usage"]["prompt_tokens"], 4);
  EXPECT_EQ(PostJson(kCompletions, R"({"prompt": [[65], [66]]})")["choices"].size(), 2u);
}

TEST_F(EndpointsTest, IgnoreEosGoesOn) {
  const Json body = PostJson(kCompletions, R"({"prompt": "a", "ignore_eos": true, "max_tokens": 40})");
  EXPECT_EQ(body["usage"]["completion_tokens"], 40);
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(
      PostJson(kCompletions,
               R"({"prompt": "a", "stop_token_ids": [97], "ignore_eos": true, "max_tokens": 40})")["choices"]
                                                                                                  [0]["text"],
      "2 ");
}

TEST_F(EndpointsTest, TokenizeAndBack) {
  Json body = PostJson("/tokenize", R"({"prompt": "Hé", "return_token_strs": true})");
  EXPECT_EQ(body["tokens"], Json::array({256, 72, 195, 169}));
  EXPECT_EQ(body["count"], 4);
  EXPECT_EQ(body["max_model_len"], 512);
  EXPECT_EQ(body["token_strs"].size(), 4u);
  EXPECT_EQ(PostJson("/tokenize", R"({"prompt": "H", "add_special_tokens": false})")["count"], 1);
  EXPECT_EQ(PostJson("/tokenize", R"({"messages": [{"role": "user", "content": "H"}]})")["count"], 6);
  EXPECT_EQ(
      PostJson("/tokenize", R"({"messages": [{"role": "user", "content": "H"}], "prompt": null})")["count"],
      6);
  EXPECT_EQ(
      PostJson("/tokenize", R"({"prompt": "H", "add_special_tokens": false, "messages": null})")["count"], 1);
  const Json text = PostJson("/detokenize", R"({"tokens": [72, 195, 169, 257]})");
  EXPECT_EQ(text["prompt"], "Hé<｜end▁of▁sentence｜>");
  EXPECT_EQ(text["content"], text["prompt"]);
}

TEST_F(EndpointsTest, TokenizeByLlamaCppsNames) {
  const auto tokens = [this](const std::string& fields) {
    return PostJson("/tokenize", absl::StrCat(R"({"content": "H<think>é")", fields, "}"))["tokens"];
  };
  EXPECT_EQ(tokens(""), Json::array({72, 260, 195, 169}));
  EXPECT_EQ(tokens(R"(, "add_special": true, "prompt": null)"), Json::array({256, 72, 260, 195, 169}));
  EXPECT_EQ(tokens(R"(, "parse_special": false)").size(), 10u);
  EXPECT_EQ(tokens(R"(, "with_pieces": true)"),
            Json::parse(R"([{"id": 72, "piece": "H"}, {"id": 260, "piece": "<think>"},
                            {"id": 195, "piece": [195]}, {"id": 169, "piece": [169]}])"));
  EXPECT_EQ(PostJson("/tokenize", R"({"content": ""})")["tokens"], Json::array());
}

TEST_F(EndpointsTest, APromptAsTextAndAsACount) {
  const Json ids = PostJson("/tokenize", ChatBody())["tokens"];
  const std::string body = ChatBody(R"("temperature": 0.5, "max_tokens": 3)");
  const std::string text = PostJson("/apply-template", body)["prompt"];
  EXPECT_EQ(text, "<｜begin▁of▁sentence｜><｜User｜>What is 2+2?<｜Assistant｜><think>\n");
  EXPECT_EQ(PostJson("/tokenize", Json({{"prompt", text}}).dump())["tokens"], ids);
  const Json count = {{"object", "response.input_tokens"}, {"input_tokens", ids.size()}};
  EXPECT_EQ(PostJson("/v1/chat/completions/input_tokens", body), count);
  EXPECT_EQ(PostJson("/v1/responses/input_tokens", R"({"input": "What is 2+2?"})"), count);
  // A prompt that does not fit into the context is counted, too.
  const std::string padding(1000, ' ');
  const std::string longer = absl::StrCat(R"({"input": "What is 2+2?)", padding, "\"}");
  EXPECT_EQ(PostJson("/v1/responses/input_tokens", longer)["input_tokens"], ids.size() + padding.size());
  for (const char* path : {"/apply-template", "/chat/completions/input_tokens", "/responses/input_tokens"}) {
    EXPECT_EQ(PostJson(path, R"({"messages": [], "input": []})", 400)["error"]["type"],
              "invalid_request_error");
  }
}

TEST_F(EndpointsTest, InvocationsAreChatsOrCompletions) {
  EXPECT_EQ(PostJson("/invocations", ChatBody())["object"], "chat.completion");
  EXPECT_EQ(PostJson("/invocations", R"({"prompt": "a"})")["object"], "text_completion");
  EXPECT_EQ(PostJson("/invocations", "{}", 400)["error"]["param"], "messages");
  EXPECT_EQ(PostJson("/invocations", "{", 400)["error"]["param"], Json());
}

TEST_F(EndpointsTest, ProbesAndFactsByOtherServersNames) {
  EXPECT_EQ(server_.Get("/ping").status, 200);
  EXPECT_EQ(server_.Post("/ping", "").status, 200);
  EXPECT_EQ(server_.Get("/health_generate").status, 200);
  EXPECT_EQ(Json::parse(server_.Get("/get_model_info").body)["model_path"], "bytes");
  EXPECT_EQ(server_.Get("/model_info").body, server_.Get("/get_model_info").body);
  EXPECT_EQ(Json::parse(server_.Get("/load").body)["server_load"], 0);
  server_.executor().Allow(0);
  HttpClient client(server_.port());
  client.SendRequest("POST", kChat, ChatBody(R"("n": 2)"));
  while (Json::parse(server_.Get("/load").body)["server_load"] != 2) absl::SleepFor(absl::Milliseconds(1));
  server_.executor().Allow(-1);
  EXPECT_EQ(client.ReadReply().status, 200);
}

TEST_F(EndpointsTest, ModelsVersionAndRoutes) {
  EXPECT_EQ(Json::parse(server_.Get("/v1/models").body)["data"][0]["id"], "bytes");
  EXPECT_EQ(Json::parse(server_.Get("/v1/models/bytes").body)["id"], "bytes");
  EXPECT_EQ(server_.Get("/v1/models/gpt").status, 404);
  EXPECT_EQ(server_.Get("/version").status, 200);
  EXPECT_EQ(server_.Get("/health").status, 200);
  EXPECT_EQ(Json::parse(server_.Get("/nowhere").body)["error"]["code"], "unknown_route");
  const HttpReply wrong = server_.Get(kChat);
  EXPECT_EQ(wrong.status, 405);
  EXPECT_TRUE(wrong.HasHeader("Allow: POST"));
}

TEST_F(EndpointsTest, PathsMayBeWrittenInSeveralWays) {
  for (const char* path :
       {"/v1/models", "/models", "/v1/models/", "//v1//models", "/v1/mod%65ls", "/v1/models?a=b"}) {
    EXPECT_EQ(Json::parse(server_.Get(path).body)["object"], "list") << path;
  }
  EXPECT_EQ(Json::parse(server_.Get("/models/byte%73/").body)["id"], "bytes");
  EXPECT_EQ(server_.Post("/chat/completions", ChatBody()).status, 200);
  EXPECT_THAT(Json::parse(server_.Get("/v1/models/org/name").body)["error"]["message"].get<std::string>(),
              HasSubstr("\"org/name\""));
  EXPECT_EQ(Json::parse(server_.Get("/%zz").body)["error"]["code"], "malformed_request");
}

TEST_F(EndpointsTest, PathsOfOtherServersAreTyped404s) {
  const HttpReply reply = server_.Post("/v1/embeddings", "{}");
  EXPECT_EQ(reply.status, 404);
  const Json error = Json::parse(reply.body)["error"];
  EXPECT_EQ(error["type"], "not_found_error");
  EXPECT_EQ(error["code"], "unsupported_endpoint");
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("/v1/chat/completions"));
}

TEST_F(EndpointsTest, MetricsCount) {
  PostJson(kChat, ChatBody());
  const std::string metrics = server_.Get("/metrics").body;
  for (const char* line : {"vllm:num_requests_running{model_name=\"bytes\"} 0",
                           "vllm:generation_tokens_total{model_name=\"bytes\"} 13",
                           "vllm:request_success_total{finished_reason=\"stop\",model_name=\"bytes\"} 1",
                           "vllm:time_to_first_token_seconds_count{model_name=\"bytes\"} 1",
                           "vllm:request_queue_time_seconds_count{model_name=\"bytes\"} 1",
                           "vllm:request_prefill_time_seconds_count{model_name=\"bytes\"} 1",
                           "vllm:inter_token_latency_seconds_count{model_name=\"bytes\"} 12"}) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
}

TEST_F(EndpointsTest, ALostClientFreesItsSequences) {
  server_.executor().Allow(3);
  HttpClient client(server_.port());
  client.SendRequest("POST", kChat, ChatBody(R"("stream": true, "ignore_eos": true, "n": 2)"));
  ASSERT_TRUE(client.ReadUntil("reasoning_content"));
  EXPECT_GT(server_.loop().Stats().running, 0);
  client.Close();
  EXPECT_TRUE(server_.MetricsSay("finished_reason=\"abort\",model_name=\"bytes\"} 2"));
  server_.executor().Allow(-1);  // the step under way ends, and the sequences with it
  EXPECT_TRUE(server_.BecomesIdle());
}

TEST_F(EndpointsTest, AFailureEndsAStreamWithOneErrorEvent) {
  server_.executor().Allow(3);
  HttpClient client(server_.port());
  client.SendRequest("POST", kChat, ChatBody(R"("stream": true)"));
  ASSERT_TRUE(client.ReadUntil("reasoning_content"));
  server_.executor().Fail(absl::UnavailableError("rank 1 is lost"));
  const std::vector<std::string> events = Events(client.ReadReply().body);
  ASSERT_FALSE(events.empty());
  EXPECT_THAT(Json::parse(events.back())["error"]["message"], HasSubstr("rank 1"));
  int errors = 0;
  for (const std::string& event : events) errors += event.find("\"error\"") != event.npos;
  EXPECT_EQ(errors, 1);
  EXPECT_EQ(server_.Post(kChat, ChatBody()).status, 503);
}

TEST(Endpoints, BeforeReadyRequestsAreTurnedAwayAndProgressIsShown) {
  ApiServer server;
  server.context().readiness().SetWorkers(1, 2);
  EXPECT_EQ(server.Get("/health").status, 200);
  EXPECT_EQ(server.Post(kChat, ChatBody()).status, 503);
  server.context().readiness().SetLoading(30, 120);
  HttpReply reply = server.Get("/ready");
  EXPECT_EQ(reply.status, 503);
  Json body = Json::parse(reply.body);
  EXPECT_EQ(body["state"], "loading");
  EXPECT_EQ(body["bytes_done"], 30);
  EXPECT_EQ(body["bytes_total"], 120);
  EXPECT_EQ(body["fraction"], 0.25);
  EXPECT_EQ(body["workers_joined"], 1);
  EXPECT_EQ(body["workers_expected"], 2);
  EXPECT_EQ(server.Post("/tokenize", R"({"prompt": "a"})").status, 200);

  server.BecomeReady();
  EXPECT_EQ(server.Get("/ready").status, 200);
  server.context().readiness().SetFailed("rank 1 is lost");
  reply = server.Get("/ready");
  EXPECT_EQ(reply.status, 503);
  EXPECT_THAT(reply.body, HasSubstr("rank 1 is lost"));
  EXPECT_EQ(server.Get("/health").status, 503);
}

TEST(Endpoints, ALossIsAPauseForStreamsAnd503ForNewRequests) {
  ApiServer server;
  server.BecomeReady();
  const std::string asked = ChatBody(R"("stream": true, "stream_options": {"include_usage": true})");
  const auto data = [](const HttpReply& reply) {  // the data of all events, without their ids and times
    std::string text;
    for (absl::string_view line : absl::StrSplit(reply.body, '\n')) {
      if (!absl::ConsumePrefix(&line, "data: ") || line == "[DONE]") continue;
      const Json event = Json::parse(line);
      absl::StrAppend(&text, event["choices"].dump(), event.value("usage", Json()).dump(), "\n");
    }
    return text;
  };
  const std::string undisturbed = data(server.Post(kChat, asked));
  EXPECT_THAT(undisturbed, HasSubstr("completion_tokens"));

  server.executor().Allow(7);
  HttpReply reply;
  std::thread client([&] { reply = server.Post(kChat, asked); });
  while (server.loop().Stats().running == 0) absl::SleepFor(absl::Milliseconds(1));
  const absl::Status lost = absl::UnavailableError("rank 1 was lost");
  std::thread loss([&] { server.loop().Suspend(lost); });
  // Requests before the suspension are accepted; their clients hang up.
  for (int status = 0; status != 503;) {
    HttpClient early(server.port());
    early.SendRequest("POST", kChat, ChatBody(R"("stream": true)"));
    status = early.ReadHead().status;
  }
  server.executor().Allow(-1);
  loss.join();
  server.context().readiness().SetSlowRanks({{.rank = 1, .host = "node3", .share = 0.62051}});
  EXPECT_EQ(Json::parse(server.Get("/ready").body)["slow_ranks"],
            Json::array({{{"rank", 1}, {"host", "node3"}, {"share", 0.621}}}));
  server.context().readiness().SetRecovering("rank 1 was lost");
  server.context().readiness().SetWorkers(1, 2, {1});
  const Json ready = Json::parse(server.Get("/ready").body);
  EXPECT_EQ(ready["state"], "recovering");
  EXPECT_EQ(ready["missing_ranks"], Json::array({1}));
  EXPECT_EQ(ready["slow_ranks"], Json::array()) << "the ranks of the epoch that is over";
  EXPECT_THAT(ready["message"].get<std::string>(), HasSubstr("rank 1 was lost; 1 of 2 workers"));
  EXPECT_EQ(server.Get("/ready").status, 503);
  EXPECT_EQ(server.Get("/health").status, 200);
  const HttpReply refused = server.Post(kChat, ChatBody());
  EXPECT_EQ(refused.status, 503);
  EXPECT_TRUE(refused.HasHeader("Retry-After: 5"));

  server.loop().Resume(2, &server.executor(), 256, 1);
  server.context().readiness().SetReady();
  client.join();
  EXPECT_EQ(data(reply), undisturbed);
  EXPECT_EQ(server.Get("/ready").status, 200);
}

// One sequence runs at a time. The first request has one token of two when the others arrive.
TEST(Endpoints, ASmallerPriorityIsServedFirst) {
  ApiServer server({.priorities = true, .max_sequences = 1});
  server.BecomeReady();
  std::vector<std::unique_ptr<HttpClient>> clients;
  const auto ask = [&](const std::string& path, const std::string& fields) {
    clients.push_back(std::make_unique<HttpClient>(server.port()));
    const std::string more = R"("stream": true, )" + fields;
    clients.back()->SendRequest("POST", path,
                                path == kChat ? ChatBody(more) : R"({"prompt": "A", )" + more + "}");
    ASSERT_EQ(clients.back()->ReadHead().status, 200);
  };
  int64_t steps = 0;
  const auto run_step = [&] {
    server.executor().Allow(1);
    ++steps;
    while (server.loop().Stats().generation_tokens < steps) absl::SleepFor(absl::Milliseconds(1));
    return server.executor().last_sampling().seed;
  };
  server.executor().Allow(0);
  ask(kChat, R"("seed": 1, "max_tokens": 2)");
  EXPECT_EQ(run_step(), 1u);
  ask(kChat, R"("seed": 2, "max_tokens": 1, "priority": 9223372036854775807)");
  ask(kCompletions, R"("seed": 3, "max_tokens": 1)");
  ask(kChat, R"("seed": 4, "max_tokens": 1, "priority": -7)");
  ask(kCompletions, R"("seed": 5, "max_tokens": 1, "priority": -9223372036854775808)");
  std::vector<uint64_t> served;
  for (int i = 0; i < 5; ++i) served.push_back(run_step());
  EXPECT_EQ(served, (std::vector<uint64_t>{1, 5, 4, 3, 2}));
}

TEST(Endpoints, AFullQueueIs429) {
  ApiServer server({.max_waiting = 1, .max_sequences = 1});
  server.BecomeReady();
  server.executor().Allow(0);
  HttpReply reply;
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<HttpClient>(server.port()));
    clients.back()->SendRequest("POST", kChat, ChatBody(R"("stream": true)"));
    reply = clients.back()->ReadHead();
    if (reply.status != 200) break;
  }
  EXPECT_EQ(reply.status, 429);
  EXPECT_TRUE(reply.HasHeader("Retry-After: 1"));
}

}  // namespace
}  // namespace deeprack::coordinator
