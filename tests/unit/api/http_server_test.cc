// The HTTP core without endpoints, and clients that break the protocol.
#include "coordinator/api/http_server.h"

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/api/http_client.h"
#include "tests/unit/api/http_core.h"
#include "tests/unit/api/latch.h"

namespace deeprack::coordinator {
namespace {

using ::testing::HasSubstr;

TEST(HttpServer, AnswersSeveralRequestsOnOneConnection) {
  const auto server = Start({}, Echo);
  HttpClient client(server->port());
  EXPECT_EQ(client.Request("POST", "/a?b=c", "body").body, "POST /a body");
  EXPECT_EQ(client.Request("GET", "/d").body, "GET /d ");
  ASSERT_TRUE(
      client.Send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"));  // pipelined
  EXPECT_EQ(client.ReadReply().body, "GET /1 ");
  EXPECT_EQ(client.ReadReply().body, "GET /2 ");
}

TEST(HttpServer, RefusesWhatIsTooLarge) {
  const auto server = Start({.max_header_bytes = 1024, .max_body_bytes = 1000}, Echo);
  HttpReply reply = HttpClient(server->port()).Request("POST", "/", std::string(1001, 'x'));
  EXPECT_EQ(reply.status, 413);
  EXPECT_THAT(reply.body, HasSubstr("1000 bytes"));
  EXPECT_EQ(HttpClient(server->port()).Request("POST", "/", std::string(1000, 'x')).status, 200);
  EXPECT_EQ(HttpClient(server->port()).Request("GET", "/" + std::string(2000, 'x')).status, 431);

  HttpClient chunked(server->port());
  chunked.Send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
               std::string(2000, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(chunked.ReadReply().status, 413);
}

TEST(HttpServer, RefusesWhatIsNoHttp) {
  const auto server = Start({}, Echo);
  for (const char* garbage :
       {"\x16\x03\x01\x02\r\n\r\n", "GET\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: xchunked\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}) {
    HttpClient client(server->port());
    client.Send(garbage);
    EXPECT_EQ(client.ReadReply().status, 400) << garbage;
  }
  EXPECT_EQ(HttpClient(server->port()).Request("GET", "/").status, 200);
}

TEST(HttpServer, CutsSlowRequests) {
  const auto server =
      Start({.header_timeout = absl::Milliseconds(50), .body_timeout = absl::Milliseconds(50)}, Echo);
  HttpClient no_headers(server->port());
  no_headers.Send("GET / HTT");
  EXPECT_TRUE(no_headers.WaitForClose());
  HttpClient no_body(server->port());
  no_body.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_TRUE(no_body.WaitForClose());
}

TEST(HttpServer, LimitsConnections) {
  const auto server = Start({.max_connections = 2}, Echo);
  HttpClient one(server->port()), two(server->port());
  EXPECT_EQ(one.Request("GET", "/").status, 200);
  EXPECT_EQ(two.Request("GET", "/").status, 200);
  EXPECT_EQ(HttpClient(server->port()).Request("GET", "/").status, 503);
  one.Close();
  EXPECT_TRUE(Eventually([&] { return HttpClient(server->port()).Request("GET", "/").status == 200; }));
}

TEST(HttpServer, APortInUseIsAClearError) {
  const auto server = Start({}, Echo);
  const auto second = HttpServer::Start({.port = server->port()}, Echo, nullptr);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(std::to_string(server->port())));
}

TEST(HttpServer, StreamsInChunksAndWithout) {
  const auto server = Start({}, [](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
    exchange->StartStream();
    exchange->Send("data: 1\n\n");
    exchange->Post([exchange] {
      exchange->Send("data: 2\n\n");
      exchange->EndStream();
    });
  });
  HttpClient client(server->port());
  const HttpReply chunked = client.Request("GET", "/");
  EXPECT_TRUE(chunked.HasHeader("text/event-stream"));
  EXPECT_EQ(chunked.body, "data: 1\n\ndata: 2\n\n");
  EXPECT_EQ(client.Request("GET", "/").body, chunked.body);  // the connection stays open

  HttpClient old(server->port());
  old.Send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.ReadReply().body, chunked.body);
}

// Hands the exchange of the path "/" to the test, as a stream that has begun.
class HeldStream {
 public:
  HttpHandler Handler() {
    return [this](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
      exchange->StartStream();
      const std::lock_guard lock(mutex_);
      held_ = std::move(exchange);
    };
  }
  std::shared_ptr<HttpExchange> Wait() {
    std::shared_ptr<HttpExchange> exchange;
    EXPECT_TRUE(Eventually([&] {
      const std::lock_guard lock(mutex_);
      exchange = std::exchange(held_, nullptr);
      return exchange != nullptr;
    }));
    return exchange;
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<HttpExchange> held_;
};

TEST(HttpServer, WhatOneTurnSendsIsOneWrite) {
  HeldStream held;
  const auto server = Start({}, held.Handler());
  HttpClient client(server->port());
  client.SendRequest("GET", "/");
  EXPECT_EQ(client.ReadHead().status, 200);  // from now on nothing but the events waits
  const std::shared_ptr<HttpExchange> exchange = held.Wait();
  exchange->Post([exchange] {
    exchange->Send("data: 1\n\n");
    exchange->Send("data: 22\n\n");
    exchange->EndStream();
  });
  EXPECT_TRUE(client.ReadUntil("\r\n\r\n13\r\ndata: 1\n\ndata: 22\n\n\r\n0\r\n\r\n"));
}

TEST(HttpServer, AReaderIsCalledOnceForEachWake) {
  HeldStream held;
  const auto server = Start({}, held.Handler());
  HttpClient client(server->port());
  client.SendRequest("GET", "/");
  const std::shared_ptr<HttpExchange> exchange = held.Wait();
  exchange->Wake();  // nobody reads yet
  std::atomic<int> calls = 0;
  exchange->Post([&calls, exchange] {
    exchange->OnWake([&calls, exchange] {
      ++calls;
      exchange->Send("data: x\n\n");
    });
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&exchange] {
      for (int wakes = 0; wakes < 100; ++wakes) exchange->Wake();
    });
  }
  for (std::thread& thread : threads) thread.join();
  exchange->Post([exchange] {
    exchange->OnWake(nullptr);
    exchange->Send("end");
    exchange->EndStream();
  });
  EXPECT_TRUE(client.ReadUntil("end"));
  EXPECT_EQ(calls, 400);
}

TEST(HttpServer, ASlowReaderDelaysNoOther) {
  HeldStream held;
  const auto server = Start({.threads = 1}, held.Handler());
  HttpClient slow(server->port(), /*receive_buffer=*/4096);
  slow.SendRequest("GET", "/");
  const std::shared_ptr<HttpExchange> stuck = held.Wait();
  std::string sent;
  for (int i = 0; i < 64; ++i) sent += std::string(8 << 10, static_cast<char>('a' + i % 26));
  stuck->Post([stuck, sent] { stuck->Send(sent); });  // more than the socket takes

  HttpClient quick(server->port());
  for (int i = 0; i < 3; ++i) {
    quick.SendRequest("GET", "/");
    const std::shared_ptr<HttpExchange> exchange = held.Wait();
    exchange->Post([exchange] {
      exchange->Send("data: 1\n\n");
      exchange->EndStream();
    });
    EXPECT_EQ(quick.ReadReply().body, "data: 1\n\n");
  }
  stuck->Post([stuck] {
    stuck->Send("tail");
    stuck->EndStream();
  });
  EXPECT_EQ(slow.ReadReply().body, sent + "tail");
}

TEST(HttpServer, FillsQuietTimesWithComments) {
  std::mutex mutex;
  std::shared_ptr<HttpExchange> held;
  const auto server = Start({.keep_alive_interval = absl::Milliseconds(20)},
                            [&](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
                              exchange->StartStream();
                              const std::lock_guard lock(mutex);
                              held = exchange;
                            });
  HttpClient client(server->port());
  client.SendRequest("GET", "/");
  EXPECT_TRUE(client.ReadUntil(": keep-alive\n\n"));
  const std::lock_guard lock(mutex);
  held->Post([exchange = std::move(held)] { exchange->EndStream(); });
  EXPECT_TRUE(client.ReadUntil("\r\n0\r\n\r\n"));
}

TEST(HttpServer, NoticesAClientThatLeaves) {
  std::atomic<int> waiting = 0, gone = 0;
  const auto server = Start({}, [&](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    if (request.path == "/stream") exchange->StartStream();
    exchange->OnDisconnect([&gone](Disconnect why) { gone += why == Disconnect::kClientLeft; });
    ++waiting;
  });
  for (const char* path : {"/stream", "/whole"}) {
    HttpClient client(server->port());
    client.SendRequest("GET", path);
    const int before = gone;
    EXPECT_TRUE(Eventually([&] { return waiting > before; }));
    client.Close();
    EXPECT_TRUE(Eventually([&] { return gone == before + 1; })) << path;
  }
}

TEST(HttpServer, CutsAClientThatNeverReads) {
  std::atomic<bool> gone = false;
  const auto server =
      Start({.stream_queue_bytes = 64 << 10}, [&](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
        exchange->StartStream();
        exchange->OnDisconnect([&gone](Disconnect why) { gone = why == Disconnect::kSlowClient; });
        auto pump = std::make_shared<std::function<void()>>();
        *pump = [exchange, pump, &gone] {
          if (gone) {
            exchange->Post([pump] { *pump = nullptr; });
            return;
          }
          exchange->Send(std::string(4096, 'x'));
          exchange->Post(*pump);
        };
        (*pump)();
      });
  HttpClient client(server->port(), /*receive_buffer=*/4096);
  client.SendRequest("GET", "/");
  EXPECT_TRUE(Eventually([&] { return gone.load(); }));
}

TEST(HttpServer, CutsAClientThatStopsReading) {
  std::atomic<bool> slow = false;
  const auto server = Start(
      {.write_timeout = absl::Milliseconds(50)}, [&](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
        exchange->StartStream();
        exchange->OnDisconnect([&slow](Disconnect why) { slow = why == Disconnect::kSlowClient; });
        // One event is sent whatever its size: no queue limit applies.
        exchange->Send(std::string(8 << 20, 'x'));
      });
  HttpClient client(server->port(), /*receive_buffer=*/4096);
  client.SendRequest("GET", "/");
  EXPECT_TRUE(Eventually([&] { return slow.load(); }));
}

TEST(HttpServer, AnEventLargerThanAllLimitsArrives) {
  const std::string event(3 << 20, 'x');
  const auto server = Start({.stream_queue_bytes = 1024, .stream_queue_hard_bytes = 1024},
                            [&](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
                              exchange->StartStream();
                              exchange->Send(event);
                              exchange->EndStream();
                            });
  EXPECT_EQ(HttpClient(server->port()).Request("GET", "/").body, event);
}

TEST(HttpServer, RunsWorkAsideWhileConnectionsAreServed) {
  Latch release;
  const auto server = Start({.threads = 1, .work_threads = 1, .work_queue_bytes = 100},
                            [&](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
                              if (request.path == "/quick") return exchange->Respond({.body = "quick"});
                              const bool taken = exchange->RunAside(60, [exchange, &release] {
                                release.Wait();
                                exchange->Post([exchange] { exchange->Respond({.body = "long"}); });
                              });
                              if (!taken) exchange->Respond({.status = 429, .body = "full"});
                            });
  HttpClient waiting(server->port());
  waiting.SendRequest("GET", "/long");
  EXPECT_TRUE(Eventually([&] { return HttpClient(server->port()).Request("GET", "/long").status == 429; }));
  EXPECT_EQ(HttpClient(server->port()).Request("GET", "/quick").body, "quick");
  release.Open();
  EXPECT_EQ(waiting.ReadReply().body, "long");
}

TEST(HttpServer, StopDropsWorkThatWaits) {
  Latch release, running;
  std::atomic<int> ran = 0;
  std::unique_ptr<HttpServer> server =
      Start({.work_threads = 1}, [&](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
        EXPECT_TRUE(exchange->RunAside(1, [exchange, &release, &running, &ran] {
          running.Open();
          release.Wait();
          ++ran;
        }));
      });
  HttpClient first(server->port()), second(server->port());
  first.SendRequest("GET", "/");
  running.Wait();
  second.SendRequest("GET", "/");
  std::thread opener([&] {
    absl::SleepFor(absl::Milliseconds(20));
    release.Open();
  });
  server->Stop(absl::ZeroDuration());
  opener.join();
  EXPECT_LE(ran, 2);
  server.reset();
  EXPECT_TRUE(first.WaitForClose());
}

TEST(HttpServer, StopWaitsForAnswersUnderWay) {
  std::mutex mutex;
  std::shared_ptr<HttpExchange> held;
  std::unique_ptr<HttpServer> server = Start({}, [&](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
    const std::lock_guard lock(mutex);
    held = exchange;
  });
  HttpClient client(server->port());
  client.SendRequest("GET", "/");
  ASSERT_TRUE(Eventually([&] {
    const std::lock_guard lock(mutex);
    return held != nullptr;
  }));
  held->Post([exchange = std::move(held)] { exchange->Respond({.body = "bye"}); });
  server->Stop(absl::Seconds(10));
  EXPECT_EQ(client.ReadReply().body, "bye");
  EXPECT_FALSE(HttpClient(server->port()).connected());
  server.reset();
  EXPECT_TRUE(client.WaitForClose());
}

}  // namespace
}  // namespace deeprack::coordinator
