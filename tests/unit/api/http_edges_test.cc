// The edges of HTTP/1.1: requests that two servers could read in two ways, unusual but valid requests,
// compressed bodies, other origins, and ids of requests.
#include <zlib.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/api/content_coding.h"
#include "coordinator/api/cors.h"
#include "coordinator/api/http_head.h"
#include "coordinator/api/http_server.h"
#include "coordinator/api/request_id.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/api/gzip.h"
#include "tests/unit/api/http_client.h"
#include "tests/unit/api/http_core.h"

namespace deeprack::coordinator {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// What the server sends for `bytes` until it closes the connection.
std::string AllAnswers(const HttpServer& server, const std::string& bytes) {
  HttpClient client(server.port());
  EXPECT_TRUE(client.Send(bytes));
  return client.ReadToEnd();
}

TEST(HttpEdges, ABodyThatTwoServersMayReadDifferentlyEndsTheConnection) {
  const auto server = Start({}, Echo);
  const std::string hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
  const std::string length = absl::StrCat("Content-Length: ", hidden.size(), "\r\n");
  for (const std::string& headers : {
           std::string("Transfer-Encoding: xchunked\r\n"),
           std::string("Transfer-Encoding: chunked, identity\r\n"),
           std::string("Transfer-Encoding: identity\r\n"),
           std::string("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
           std::string("Transfer-Encoding:\r\n chunked\r\n"),
           std::string("Content-Length: 0\r\nContent-Length: 0\r\n"),
           length + "Content-Length: 0\r\n",
           length + length,
           std::string("Content-Length: 0, 0\r\n"),
           std::string("Content-Length: +0\r\n"),
           std::string("Content-Length: 0x0\r\n"),
           std::string("Content-Length: 0\r\n 0\r\n"),
           std::string("Content-Length:\r\n"),
           std::string("Content-Length : 0\r\n"),
           length + "Transfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked\r\n" + length,
           std::string("X: a\r\n\tb\r\n"),
       }) {
    const std::string answers =
        AllAnswers(*server, absl::StrCat("POST / HTTP/1.1\r\nHost: a\r\n", headers, "\r\n", hidden));
    EXPECT_THAT(answers, ::testing::StartsWith("HTTP/1.1 400")) << headers;
    EXPECT_THAT(answers, HasSubstr("Connection: close")) << headers;
    EXPECT_THAT(answers, Not(HasSubstr("/hidden"))) << headers;
  }
}

TEST(HttpEdges, Http11NeedsOneHost) {
  const auto server = Start({}, Echo);
  for (const char* head :
       {"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"}) {
    EXPECT_THAT(AllAnswers(*server, head), HasSubstr(" 400 ")) << head;
  }
  for (const char* head : {"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
                           "GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n"}) {
    EXPECT_THAT(AllAnswers(*server, head), HasSubstr(" 200 ")) << head;
  }
}

TEST(HttpEdges, ATargetMayBeAUrl) {
  EXPECT_EQ(PathOfTarget("/a/b?c=d"), "/a/b");
  EXPECT_EQ(PathOfTarget("http://host:80/a?b"), "/a");
  EXPECT_EQ(PathOfTarget("HTTPS://host"), "/");
  EXPECT_EQ(PathOfTarget("http://host?a=/b"), "/");
  EXPECT_EQ(PathOfTarget("host:80"), "");
  EXPECT_EQ(PathOfTarget("*"), "");
  const auto server = Start({}, Echo);
  EXPECT_EQ(HttpClient(server->port()).Request("GET", "http://elsewhere/a?b").body, "GET /a ");
  EXPECT_EQ(HttpClient(server->port()).Request("CONNECT", "elsewhere:80").status, 400);
}

TEST(HttpEdges, EmptyLinesBeforeARequestAreSkipped) {
  const auto server = Start({}, Echo);
  HttpClient client(server->port());
  client.Send("\r\n\r\nPOST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\n");
  EXPECT_EQ(client.ReadReply().body, "POST /1 x");
  client.Send("\r");
  client.Send("\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(client.ReadReply().body, "GET /2 ");
  EXPECT_THAT(AllAnswers(*server, "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), HasSubstr(" 400 "));
}

TEST(HttpEdges, TrailersAreNoHeaders) {
  std::mutex mutex;
  std::string seen = "?";
  const auto server = Start({}, [&](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    const std::lock_guard lock(mutex);
    seen = std::string(request.Header("authorization"));
    exchange->Respond({.body = request.body});
  });
  HttpClient client(server->port());
  client.Send(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nAuthorization: "
      "b\r\n\r\n");
  EXPECT_EQ(client.ReadReply().body, "x");
  const std::lock_guard lock(mutex);
  EXPECT_EQ(seen, "");
}

TEST(HttpEdges, TrailersAreBounded) {
  const auto server = Start({.max_header_bytes = 1024}, Echo);
  HttpClient client(server->port());
  client.Send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ");
  for (int i = 0; i < 64 && client.Send(std::string(4096, 'x')); ++i) {
  }
  EXPECT_THAT(client.ReadToEnd(), HasSubstr(" 400 "));
}

TEST(HttpEdges, ConnectionsCloseAfterTheIdleTime) {
  const auto idle = Start({.idle_timeout = absl::Milliseconds(50)}, Echo);
  HttpClient client(idle->port());
  EXPECT_FALSE(client.Request("GET", "/").HasHeader("Connection: close"));
  EXPECT_TRUE(client.WaitForClose());
  const auto never = Start({.idle_timeout = absl::ZeroDuration()}, Echo);
  HttpClient once(never->port());
  EXPECT_TRUE(once.Request("GET", "/").HasHeader("Connection: close"));
  EXPECT_TRUE(once.WaitForClose());
}

TEST(HttpEdges, StopKeepAliveClosesAfterTheNextAnswer) {
  const auto server = Start({}, Echo);
  HttpClient client(server->port());
  EXPECT_FALSE(client.Request("GET", "/").HasHeader("Connection: close"));
  server->StopKeepAlive();
  EXPECT_TRUE(client.Request("GET", "/").HasHeader("Connection: close"));
  EXPECT_TRUE(client.WaitForClose());
  EXPECT_EQ(HttpClient(server->port()).Request("GET", "/").status, 200);
}

TEST(HttpEdges, NoticesAClientThatLeavesAfterAStrayByte) {
  std::atomic<int> waiting = 0, gone = 0;
  const auto server = Start({}, [&](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
    exchange->StartStream();
    exchange->OnDisconnect([&gone](Disconnect why) { gone += why == Disconnect::kClientLeft; });
    ++waiting;
  });
  for (const char* stray : {"\r\n", "x", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"}) {
    const int before = gone;
    HttpClient client(server->port());
    client.Send(absl::StrCat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", stray));
    EXPECT_TRUE(Eventually([&] { return waiting > before; }));
    client.Close();
    EXPECT_TRUE(Eventually([&] { return gone == before + 1; })) << stray;
  }
}

TEST(HttpEdges, NoCommentsWithAnIntervalOfZero) {
  std::mutex mutex;
  std::shared_ptr<HttpExchange> held;
  const auto server = Start({.keep_alive_interval = absl::ZeroDuration()},
                            [&](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
                              exchange->StartStream();
                              const std::lock_guard lock(mutex);
                              held = exchange;
                            });
  HttpClient client(server->port());
  client.SendRequest("GET", "/");
  EXPECT_EQ(client.ReadHead().status, 200);
  const std::lock_guard lock(mutex);
  held->Post([exchange = std::move(held)] {
    exchange->Send("data: 1\n\n");
    exchange->EndStream();
  });
  EXPECT_EQ(client.ReadReply().body, "data: 1\n\n");
}

TEST(HttpEdges, EveryAnswerHasADateAndAnId) {
  const auto server = Start({}, [](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    exchange->Respond({.body = request.id});
  });
  HttpClient client(server->port());
  const HttpReply made = client.Request("GET", "/");
  EXPECT_TRUE(made.HasHeader(" GMT\r\n")) << made.headers;
  EXPECT_TRUE(IsRequestId(made.body));
  EXPECT_TRUE(made.HasHeader("x-request-id: " + made.body)) << made.headers;
  client.Send("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine-1\r\n\r\n");
  EXPECT_TRUE(client.ReadReply().HasHeader("x-request-id: mine-1"));
  client.Send("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: a b\r\n\r\n");
  const HttpReply refused = client.ReadReply();
  EXPECT_FALSE(refused.HasHeader("x-request-id: a b"));
  EXPECT_NE(refused.body, made.body);
  EXPECT_THAT(AllAnswers(*server, "nonsense\r\n\r\n"), HasSubstr("x-request-id: "));
  EXPECT_FALSE(IsRequestId(""));
  EXPECT_FALSE(IsRequestId("a\r\nb"));
  EXPECT_FALSE(IsRequestId(std::string(129, 'a')));
}

TEST(HttpEdges, OtherOriginsAreAllowedByName) {
  const auto server = Start({.cors_origins = {"https://a.example", "http://localhost:3000"}}, Echo);
  const auto ask = [&](const std::string& request) {
    HttpClient client(server->port());
    client.Send(absl::StrCat(request, "Host: x\r\n\r\n"));
    return client.ReadReply();
  };
  const HttpReply allowed = ask("GET / HTTP/1.1\r\nOrigin: https://a.example\r\n");
  EXPECT_TRUE(allowed.HasHeader("Access-Control-Allow-Origin: https://a.example\r\n")) << allowed.headers;
  EXPECT_TRUE(allowed.HasHeader("Vary: Origin"));
  EXPECT_FALSE(ask("GET / HTTP/1.1\r\nOrigin: https://b.example\r\n").HasHeader("Access-Control-Allow"));
  EXPECT_FALSE(ask("GET / HTTP/1.1\r\n").HasHeader("Access-Control-Allow"));

  const HttpReply preflight =
      ask("OPTIONS /v1/x HTTP/1.1\r\nOrigin: http://localhost:3000\r\nAccess-Control-Request-Method: POST\r\n"
          "Access-Control-Request-Headers: authorization, x-custom\r\n");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_TRUE(preflight.HasHeader("Access-Control-Allow-Origin: http://localhost:3000")) << preflight.headers;
  EXPECT_TRUE(preflight.HasHeader("Access-Control-Allow-Methods: GET, HEAD, POST, DELETE, OPTIONS"));
  EXPECT_TRUE(preflight.HasHeader("Access-Control-Allow-Headers: authorization, x-custom"));
  // A preflight of another origin is a request like any other.
  EXPECT_EQ(ask("OPTIONS / HTTP/1.1\r\nOrigin: http://b\r\nAccess-Control-Request-Method: POST\r\n").status,
            200);
}

TEST(HttpEdges, OriginsAreChecked) {
  EXPECT_THAT(*ParseOrigins("https://a.example, http://localhost:3000,"),
              ::testing::ElementsAre("https://a.example", "http://localhost:3000"));
  EXPECT_THAT(*ParseOrigins("*"), ::testing::ElementsAre("*"));
  EXPECT_THAT(*ParseOrigins(""), ::testing::IsEmpty());
  for (const char* bad : {"a.example", "https://", "://a", "https://a.example/", "https://a,b"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseOrigins(bad).status())) << bad;
  }
}

TEST(HttpEdges, AllOriginsOrNone) {
  const std::string request = "GET / HTTP/1.1\r\nHost: x\r\nOrigin: null\r\nConnection: close\r\n\r\n";
  EXPECT_THAT(AllAnswers(*Start({.cors_origins = {"*"}}, Echo), request),
              HasSubstr("Access-Control-Allow-Origin: null"));
  const std::string none = AllAnswers(*Start({}, Echo), request);
  EXPECT_THAT(none, Not(HasSubstr("Access-Control")));
  EXPECT_THAT(none, Not(HasSubstr("Vary")));
}

TEST(Gunzip, ExpandsMembersAndBoundsThem) {
  EXPECT_EQ(*Gunzip(Gzip("text"), 100), "text");
  EXPECT_EQ(*Gunzip(Gzip(""), 0), "");
  EXPECT_EQ(*Gunzip(Gzip("one ") + Gzip("two"), 7), "one two");
  EXPECT_EQ(*Gunzip(Gzip(std::string(1 << 20, 'x')), 1 << 20), std::string(1 << 20, 'x'));
  EXPECT_TRUE(absl::IsResourceExhausted(Gunzip(Gzip(std::string((1 << 20) + 1, 'x')), 1 << 20).status()));
  EXPECT_TRUE(absl::IsResourceExhausted(Gunzip(Gzip("one ") + Gzip("two"), 6).status()));
}

TEST(Gunzip, RefusesWhatIsCutOrNoGzip) {
  const std::string whole = Gzip("some text to compress");
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_TRUE(absl::IsInvalidArgument(Gunzip(whole.substr(0, size), 100).status())) << size;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(Gunzip("{\"a\": 1}", 100).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Gunzip(whole + "x", 100).status()));
  std::string wrong = whole;
  wrong[wrong.size() - 5] ^= 1;  // the checksum
  EXPECT_TRUE(absl::IsInvalidArgument(Gunzip(wrong, 100).status()));
}

}  // namespace
}  // namespace deeprack::coordinator
