// API keys, compressed bodies, types of bodies, draining, and the model's names, over HTTP.
#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/keys/key_file.h"
#include "coordinator/access/key_ring.h"
#include "coordinator/api/json_fields.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/api/api_server.h"
#include "tests/unit/api/endpoint_requests.h"
#include "tests/unit/api/gzip.h"

namespace deeprack::coordinator {
namespace {

using ::testing::HasSubstr;
constexpr char kChatBody[] = R"({"messages": [{"role": "user", "content": "What is 2+2?"}]})";

// Sends `headers`, each with its line end, besides Host and Content-Length.
HttpReply Send(const ApiServer& server, const std::string& method, const std::string& path,
               const std::string& headers, const std::string& body = "") {
  HttpClient client(server.port());
  client.Send(absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: test\r\n", headers,
                           "Content-Length: ", body.size(), "\r\n\r\n", body));
  return client.ReadReply();
}

std::string ErrorCode(const HttpReply& reply) { return Json::parse(reply.body)["error"]["code"]; }

class KeysTest : public testing::Test {
 protected:
  KeysTest() {
    const std::string path = (std::filesystem::path(testing::TempDir()) / "endpoint_keys").string();
    KeyFile file{.salt = MakeKeySalt()};
    for (const char* name : {"alice", "bob"}) {
      file.keys.push_back({.name = name, .hash = HashKey(file.salt, absl::StrCat("key-of-", name))});
    }
    EXPECT_TRUE(WriteKeyFile(path, file).ok());
    keys_ = *KeyRing::Open(path);
  }
  ApiServerOptions Options(bool metrics_need_key = true) const {
    ApiServerOptions options;
    options.routing.keys = keys_.get();
    options.routing.metrics_need_key = metrics_need_key;
    return options;
  }
  std::unique_ptr<KeyRing> keys_;
};

TEST_F(KeysTest, AreTakenFromEitherHeader) {
  ApiServer server(Options());
  server.BecomeReady();
  EXPECT_EQ(Send(server, "POST", kChat, "Authorization: Bearer key-of-alice\r\n", kChatBody).status, 200);
  EXPECT_EQ(Send(server, "POST", kChat, "x-api-key: key-of-bob\r\n", kChatBody).status, 200);
  for (const char* headers : {"", "Authorization: Bearer key-of-carol\r\n", "Authorization: Bearer alice\r\n",
                              "Authorization: Basic key-of-alice\r\n", "x-api-key:\r\n"}) {
    const HttpReply reply = Send(server, "POST", kChat, headers, kChatBody);
    EXPECT_EQ(reply.status, 401) << headers;
    EXPECT_EQ(ErrorCode(reply), "invalid_api_key");
    EXPECT_TRUE(reply.HasHeader("WWW-Authenticate: Bearer\r\n")) << reply.headers;
    EXPECT_EQ(reply.body.find("carol"), std::string::npos) << "the key is repeated";
  }
}

TEST_F(KeysTest, GuardAllButProbes) {
  ApiServer server(Options()), open(Options(/*metrics_need_key=*/false));
  for (const char* path : {"/health", "/ping", "/version"}) EXPECT_EQ(server.Get(path).status, 200) << path;
  EXPECT_EQ(server.Get("/ready").status, 503);
  for (const char* path :
       {"/v1/models", "/models", "//v1/models/bytes", "/metrics", "/tokenizer_info", "/load"}) {
    EXPECT_EQ(server.Get(path).status, 401) << path;
  }
  EXPECT_EQ(server.Post("/tokenize", R"({"prompt": "a"})").status, 401);
  EXPECT_EQ(open.Get("/metrics").status, 200);
  EXPECT_EQ(open.Get("/v1/models").status, 401);
}

// The client has sent only the head of its request.
TEST_F(KeysTest, AreLookedAtBeforeTheBodyIsRead) {
  ApiServer server(Options());
  server.BecomeReady();
  for (const char* rest : {"Content-Length: 1000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n",
                           "Content-Length: 9\r\nExpect: 100-continue\r\n\r\n"}) {
    HttpClient client(server.port());
    client.Send(absl::StrCat("POST /v1/messages HTTP/1.1\r\nHost: test\r\nx-api-key: no\r\n", rest));
    const HttpReply reply = client.ReadReply();
    EXPECT_EQ(reply.status, 401) << reply.headers;
    EXPECT_EQ(Json::parse(reply.body)["error"]["type"], "authentication_error");
    EXPECT_TRUE(reply.HasHeader("WWW-Authenticate: Bearer\r\n") && reply.HasHeader("Connection: close\r\n"))
        << reply.headers;
    EXPECT_TRUE(client.WaitForClose());
  }
  // Without a body the connection goes on. With a key, the body is read.
  HttpClient client(server.port());
  EXPECT_EQ(client.Request("GET", "/v1/models").status, 401);
  client.Send(absl::StrCat("POST ", kChat, " HTTP/1.1\r\nHost: test\r\nx-api-key: key-of-bob\r\n",
                           "Content-Length: ", std::string(kChatBody).size(),
                           "\r\nExpect: 100-continue\r\n\r\n"));
  ASSERT_TRUE(client.ReadUntil("100 Continue\r\n\r\n"));
}

TEST_F(KeysTest, DoNotShareCachedPrefixes) {
  ApiServer server(Options());
  server.BecomeReady();
  const std::string body = absl::StrCat(R"({"max_tokens": 1, "prompt": ")", std::string(200, 'a'), R"("})");
  const auto cached = [&](const std::string& key) {
    const HttpReply reply =
        Send(server, "POST", kCompletions, absl::StrCat("x-api-key: ", key, "\r\n"), body);
    return Json::parse(reply.body)["usage"]["prompt_tokens_details"]["cached_tokens"].get<int>();
  };
  EXPECT_EQ(cached("key-of-alice"), 0);
  EXPECT_GT(cached("key-of-alice"), 0);
  EXPECT_EQ(cached("key-of-bob"), 0);
  EXPECT_GT(cached("key-of-bob"), 0);
}

class BodiesTest : public testing::Test {
 protected:
  BodiesTest() { server_.BecomeReady(); }
  HttpReply Chat(const std::string& headers, const std::string& body = kChatBody) const {
    return Send(server_, "POST", kChat, headers, body);
  }
  ApiServer server_{{.routing = {.max_body_bytes = 1 << 20}}};
};

TEST_F(BodiesTest, AreJson) {
  for (const char* type :
       {"", "Content-Type: application/json\r\n", "Content-Type: Application/JSON;charset=x\r\n",
        "Content-Type: application/problem+json\r\n"}) {
    EXPECT_EQ(Chat(type).status, 200) << type;
  }
  for (const char* type :
       {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"}) {
    const HttpReply reply = Chat(absl::StrCat("Content-Type: ", type, "\r\n"));
    EXPECT_EQ(reply.status, 415) << type;
    EXPECT_EQ(ErrorCode(reply), "unsupported_media_type");
    EXPECT_THAT(reply.body, HasSubstr(type));
  }
  EXPECT_EQ(Send(server_, "GET", "/health", "Content-Type: text/plain\r\n").status, 200);
}

TEST_F(BodiesTest, MayBeGzip) {
  EXPECT_EQ(Chat("Content-Encoding: gzip\r\n", Gzip(kChatBody)).status, 200);
  EXPECT_EQ(Chat("Content-Encoding: X-Gzip\r\n", Gzip(kChatBody)).status, 200);
  EXPECT_EQ(Chat("Content-Encoding: identity\r\n").status, 200);
  const HttpReply cut = Chat("Content-Encoding: gzip\r\n", Gzip(kChatBody).substr(0, 40));
  EXPECT_EQ(cut.status, 400);
  EXPECT_THAT(cut.body, HasSubstr("cut"));
  EXPECT_EQ(Chat("Content-Encoding: gzip\r\n").status, 400);
  for (const char* encoding : {"br", "deflate", "zstd", "gzip, gzip", "gzip\r\nContent-Encoding: gzip"}) {
    const HttpReply reply = Chat(absl::StrCat("Content-Encoding: ", encoding, "\r\n"), Gzip(kChatBody));
    EXPECT_EQ(reply.status, 415) << encoding;
    EXPECT_EQ(ErrorCode(reply), "unsupported_encoding");
  }
}

TEST_F(BodiesTest, ThatExpandTooFarAreRefused) {
  const HttpReply bomb = Chat("Content-Encoding: gzip\r\n", Gzip(std::string((1 << 20) + 1, ' ')));
  EXPECT_EQ(bomb.status, 413);
  EXPECT_EQ(ErrorCode(bomb), "payload_too_large");
  EXPECT_THAT(bomb.body, HasSubstr("1048576 bytes"));
}

TEST(Draining, LetsRunningRequestsFinishAndRefusesNewOnes) {
  ApiServer server;
  server.BecomeReady();
  server.executor().Allow(3);
  HttpClient running(server.port());
  running.SendRequest("POST", kChat,
                      R"({"stream": true, "messages": [{"role": "user", "content": "What is 2+2?"}]})");
  ASSERT_TRUE(running.ReadUntil("reasoning_content"));
  server.context().readiness().SetDraining();
  HttpReply ready = server.Get("/ready");
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(Json::parse(ready.body)["state"], "draining");
  EXPECT_EQ(Json::parse(ready.body)["ready"], false);
  EXPECT_EQ(server.Get("/health").status, 200);
  EXPECT_EQ(server.Post("/tokenize", R"({"prompt": "a"})").status, 200);
  for (const char* path : {kChat, kCompletions}) {
    const HttpReply refused = server.Post(path, kChatBody);
    EXPECT_EQ(refused.status, 503) << path;
    EXPECT_TRUE(refused.HasHeader("Retry-After: 5"));
    EXPECT_EQ(ErrorCode(refused), "not_ready");
  }
  server.executor().Allow(-1);
  EXPECT_TRUE(running.ReadUntil("[DONE]"));
}

TEST(Names, AnAnswerHasTheNameThatWasAskedFor) {
  ApiServer server({.further_names = {"org/second", "/data/third"}});
  server.BecomeReady();
  const Json list = Json::parse(server.Get("/v1/models").body)["data"];
  ASSERT_EQ(list.size(), 3);
  EXPECT_EQ(list[0]["id"], "bytes");
  EXPECT_EQ(list[1]["id"], "org/second");
  EXPECT_EQ(list[1]["root"], list[0]["root"]);
  for (const char* path : {"/v1/models/org/second", "/v1/models/org%2Fsecond", "/models/org/second/"}) {
    EXPECT_EQ(Json::parse(server.Get(path).body)["id"], "org/second") << path;
  }
  for (const char* path : {"/v1/models//data/third", "/v1/models/%2Fdata%2Fthird"}) {
    EXPECT_EQ(Json::parse(server.Get(path).body)["id"], "/data/third") << path;
  }
  const auto named = [&](const std::string& field) {
    const Json body =
        Json::parse(server.Post(kCompletions, absl::StrCat(R"({"prompt": "a")", field, "}")).body);
    return body.value("model", body.value("error", Json::object()).value("code", ""));
  };
  EXPECT_EQ(named(""), "bytes");
  EXPECT_EQ(named(R"(, "model": "org/second")"), "org/second");
  EXPECT_EQ(named(R"(, "model": "/data/third")"), "/data/third");
  EXPECT_EQ(named(R"(, "model": "org")"), "model_not_found");
}

TEST(Names, AnswersHaveAFingerprint) {
  ApiServer server;
  server.BecomeReady();
  EXPECT_EQ(Json::parse(server.Post(kChat, kChatBody).body)["system_fingerprint"], "deeprack");
  EXPECT_EQ(Json::parse(server.Post(kCompletions, R"({"prompt": "a"})").body)["system_fingerprint"],
            "deeprack");
}

TEST(Render, GivesIdsAndParametersWithoutGenerating) {
  ApiServer server;  // no model is loaded
  const HttpReply reply = server.Post(
      "/v1/chat/completions/render",
      R"({"messages": [{"role": "user", "content": "H"}], "temperature": 0.123, "stop": "x", "stream": true})");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json chat = Json::parse(reply.body);
  const Json tokens = Json::parse(
      server.Post("/tokenize", R"({"messages": [{"role": "user", "content": "H"}]})").body)["tokens"];
  EXPECT_EQ(chat["token_ids"], tokens);
  EXPECT_EQ(chat["model"], "bytes");
  EXPECT_EQ(chat["sampling_params"]["temperature"], 0.123);
  EXPECT_EQ(chat["sampling_params"]["stop"], Json::array({"x"}));
  EXPECT_EQ(chat["stream"], true);
  EXPECT_THAT(chat["request_id"].get<std::string>(), ::testing::StartsWith("chatcmpl-"));

  const Json prompts =
      Json::parse(server.Post("/v1/completions/render", R"({"prompt": [[72, 73], [74]]})").body);
  ASSERT_EQ(prompts.size(), 2);
  EXPECT_EQ(prompts[0]["token_ids"], Json::array({72, 73}));
  EXPECT_EQ(prompts[1]["token_ids"], Json::array({74}));
  EXPECT_EQ(server.Post("/v1/completions/render", R"({"prompt": "a", "model": "other"})").status, 404);
}

}  // namespace
}  // namespace deeprack::coordinator
