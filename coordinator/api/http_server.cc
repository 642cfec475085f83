#include "coordinator/api/http_server.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <thread>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "absl/strings/str_cat.h"
#include "coordinator/api/http_connection.h"
#include "coordinator/api/http_loop.h"
#include "spdlog/spdlog.h"

namespace deeprack::coordinator {
namespace {

namespace net = boost::asio;
using tcp = net::ip::tcp;

// The number of connections beyond the limit that may get a 503 at one time. Further connections are closed
// without an answer.
constexpr int kTurnedAwayAtOnce = 64;

class Server final : public HttpServer {
 public:
  Server(HttpOptions options, HttpHandler handler, HttpErrorWriter error_body, HttpGate gate)
      : loops_(static_cast<size_t>(options.threads)), acceptor_(loops_.front().io()) {
    shared_.options = std::move(options);
    shared_.handler = std::move(handler);
    shared_.error_body = std::move(error_body);
    shared_.gate = std::move(gate);
    shared_.work = std::make_unique<WorkPool>(shared_.options.work_threads, shared_.options.work_queue_bytes);
  }

  ~Server() override { Stop(absl::ZeroDuration()); }

  absl::Status Listen() {
    const HttpOptions& options = shared_.options;
    boost::system::error_code error;
    tcp::resolver resolver(acceptor_.get_executor());
    const auto found =
        resolver.resolve(options.host, std::to_string(options.port), tcp::resolver::passive, error);
    if (error || found.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--host ", options.host, " is no address of this machine: ", error.message()));
    }
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(net::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(net::socket_base::max_listen_connections, error);
    if (error == net::error::address_in_use) {
      return absl::AlreadyExistsError(absl::StrCat("port ", options.port, " on ", options.host,
                                                   " is in use by another program; choose one with --port"));
    }
    if (error) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", options.host, ":", options.port, ": ", error.message()));
    }
    port_ = acceptor_.local_endpoint().port();
    net::co_spawn(acceptor_.get_executor(), Accept(), net::detached);
    spdlog::default_logger_raw();  // made here, before several threads log for the first time at once
    for (HttpLoop& loop : loops_) threads_.emplace_back([&loop] { loop.Run(); });
    return absl::OkStatus();
  }

  uint16_t port() const override { return port_; }

  void StopKeepAlive() override { shared_.draining = true; }

  int answering() const override { return shared_.answering; }

  void Stop(absl::Duration grace) override {
    if (threads_.empty()) return;
    shared_.stopping = true;
    net::post(acceptor_.get_executor(), [this] {
      boost::system::error_code ignored;
      acceptor_.close(ignored);
    });
    const absl::Time deadline = absl::Now() + grace;
    while (shared_.answering > 0 && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(5));
    for (HttpLoop& loop : loops_) loop.io().stop();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    shared_.work->Stop();  // before the loops end: its work owns exchanges
    boost::system::error_code ignored;
    acceptor_.close(ignored);  // the posted close may not have run
  }

 private:
  net::awaitable<void> Accept() {
    constexpr auto kNoThrow = net::as_tuple(net::use_awaitable);
    while (acceptor_.is_open()) {
      HttpLoop& loop = *std::ranges::min_element(
          loops_, {}, [](const HttpLoop& candidate) { return candidate.connections.load(); });
      auto [error, socket] = co_await acceptor_.async_accept(loop.io(), kNoThrow);
      if (error == net::error::operation_aborted || !acceptor_.is_open()) co_return;
      if (error) {  // most often: no file descriptor is free
        net::steady_timer pause(acceptor_.get_executor(), std::chrono::milliseconds(50));
        co_await pause.async_wait(kNoThrow);
        continue;
      }
      const int open = ++shared_.connections;
      const auto executor = socket.get_executor();
      ++loop.connections;
      auto closed = [this, &loop](std::exception_ptr) {
        --shared_.connections;
        --loop.connections;
      };
      if (open <= shared_.options.max_connections) {
        net::co_spawn(executor, ServeConnection(std::move(socket), shared_, loop), closed);
      } else if (open <= shared_.options.max_connections + kTurnedAwayAtOnce) {
        net::co_spawn(executor, TurnAway(std::move(socket), shared_, loop), closed);
      } else {
        --shared_.connections;
        --loop.connections;
      }
    }
  }

  HttpShared shared_;  // before loops_: the coroutines that the loops destroy refer to shared_
  std::deque<HttpLoop> loops_;
  tcp::acceptor acceptor_;
  std::vector<std::thread> threads_;
  uint16_t port_ = 0;
};

}  // namespace

absl::string_view HttpRequest::Header(absl::string_view name) const {
  for (const auto& [found, value] : headers) {
    if (found == name) return value;
  }
  return {};
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpOptions options, HttpHandler handler,
                                                              HttpErrorWriter error_body, HttpGate gate) {
  auto server = std::make_unique<Server>(std::move(options), std::move(handler), std::move(error_body),
                                         std::move(gate));
  if (absl::Status status = server->Listen(); !status.ok()) return status;
  return server;
}

}  // namespace deeprack::coordinator
