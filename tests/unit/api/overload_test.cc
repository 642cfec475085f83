// Clients that read too slowly, a server that cannot keep up, and bodies that take long to read.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "coordinator/api/json_fields.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/api/api_server.h"
#include "tests/unit/api/latch.h"

namespace deeprack::coordinator {
namespace {

using ::testing::HasSubstr;
constexpr char kChat[] = "/v1/chat/completions";

std::string StreamBody(const std::string& more) {
  return R"({"messages": [{"role": "user", "content": "What is 2+2?"}], "stream": true, )" + more + "}";
}

std::string Dropped(const std::string& reason, int count) {
  return absl::StrCat("deeprack:requests_dropped_total{model_name=\"bytes\",reason=\"", reason, "\"} ", count,
                      "\n");
}

// A handler whose GET /block holds its thread and answers when `release` opens.
std::function<HttpHandler(HttpHandler)> WithBlock(Latch& blocked, Latch& release) {
  return [&blocked, &release](HttpHandler handler) -> HttpHandler {
    return [&blocked, &release, handler](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
      if (request.path != "/block") return handler(std::move(request), std::move(exchange));
      blocked.Open();
      release.Wait();
      exchange->Respond({.body = "released"});
    };
  };
}

TEST(Overload, AClientThatDoesNotReadIsCutFreedAndCounted) {
  // Every token of the answer has text: a token without text has no event.
  ApiServer server({.script = std::string(512, '2'),
                    .http = {.stream_queue_bytes = 16 << 10,
                             .stream_queue_hard_bytes = 64 << 10,
                             .stream_queue_hard_grace = absl::ZeroDuration()}});
  server.BecomeReady();
  EXPECT_THAT(server.Get("/metrics").body, HasSubstr(Dropped("slow_client", 0)));
  HttpClient client(server.port(), /*receive_buffer=*/4096);
  client.SendRequest("POST", kChat,
                     StreamBody(R"("ignore_eos": true, "n": 4, "logprobs": true, "top_logprobs": 20)"));
  EXPECT_TRUE(server.MetricsSay(Dropped("slow_client", 1)));
  EXPECT_TRUE(server.BecomesIdle());
  EXPECT_TRUE(
      server.MetricsSay("vllm:request_success_total{finished_reason=\"abort\",model_name=\"bytes\"} 4"));
}

TEST(Overload, AClientThatLeavesIsNotCountedAsSlow) {
  ApiServer server;
  server.BecomeReady();
  server.executor().Allow(3);
  HttpClient client(server.port());
  client.SendRequest("POST", kChat, StreamBody(R"("ignore_eos": true)"));
  ASSERT_TRUE(client.ReadUntil("reasoning_content"));
  client.Close();
  EXPECT_TRUE(server.MetricsSay("finished_reason=\"abort\",model_name=\"bytes\"} 1"));
  EXPECT_THAT(server.Get("/metrics").body, HasSubstr(Dropped("slow_client", 0)));
}

TEST(Overload, EventsThatNobodyTakesEndTheirRequest) {
  Latch blocked, release;
  ApiServer server({.http = {.threads = 1}, .events = {.events = 8}, .around = WithBlock(blocked, release)});
  server.BecomeReady();
  server.executor().Allow(3);
  HttpClient stream(server.port());
  stream.SendRequest("POST", kChat, StreamBody(R"("ignore_eos": true)"));
  ASSERT_TRUE(stream.ReadUntil("reasoning_content"));
  HttpClient blocker(server.port());
  blocker.SendRequest("GET", "/block");
  blocked.Wait();  // the only thread that serves connections is blocked
  server.executor().Allow(100);
  // The loop needs no connection thread; 100 steps are less than the context's 512.
  EXPECT_TRUE(server.BecomesIdle());
  release.Open();
  const std::string events = stream.ReadReply().body;
  const size_t last = events.rfind("data: ");
  ASSERT_NE(last, std::string::npos);
  const Json error = Json::parse(events.substr(last + 6))["error"];
  EXPECT_EQ(error["code"], "overloaded");
  EXPECT_TRUE(server.MetricsSay(Dropped("events_full", 1)));
  EXPECT_EQ(blocker.ReadReply().body, "released");
}

TEST(Overload, LargeBodiesAreReadAsSmallOnesAre) {
  ApiServer server;
  server.BecomeReady();
  const std::string spaces(kMaxInlineBodyBytes, ' ');
  const std::string small = R"({"prompt": "Hi", "max_tokens": 3})";
  Json expected = Json::parse(server.Post("/v1/completions", small).body);
  Json found = Json::parse(server.Post("/v1/completions", spaces + small).body);
  EXPECT_EQ(found["choices"], expected["choices"]);
  const std::string streamed = server.Post(kChat, spaces + StreamBody(R"("max_tokens": 3)")).body;
  EXPECT_THAT(streamed, HasSubstr("data: [DONE]"));
  for (const char* body : {"{", R"({"nonsense": 1})"}) {
    for (const char* path : {kChat, "/v1/completions", "/tokenize", "/detokenize"}) {
      const HttpReply reply = server.Post(path, spaces + body);
      EXPECT_EQ(reply.status, 400) << path;
      EXPECT_TRUE(Json::parse(reply.body).contains("error"));
    }
  }
  const std::string text(kMaxInlineBodyBytes, 'x');
  EXPECT_EQ(Json::parse(server.Post("/tokenize", R"({"prompt": ")" + text + "\"}").body)["count"],
            text.size() + 1);
}

TEST(Overload, TooManyLargeBodiesAre429) {
  ApiServer server({.http = {.work_queue_bytes = 100 << 10}});
  server.BecomeReady();
  const HttpReply reply = server.Post("/tokenize", std::string(101 << 10, ' '));
  EXPECT_EQ(reply.status, 429);
  EXPECT_TRUE(reply.HasHeader("Retry-After: 1"));
  EXPECT_THAT(reply.body, HasSubstr("large request bodies"));
  EXPECT_EQ(server.Post("/tokenize", R"({"prompt": "a"})").status, 200);
  EXPECT_THAT(server.Get("/metrics").body, HasSubstr(Dropped("bodies_full", 1)));
}

}  // namespace
}  // namespace deeprack::coordinator
