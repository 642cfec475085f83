// Fuzzes a connection with bytes from an untrusted client. The server answers with whole HTTP/1.1 responses,
// whose errors are error objects of OpenAI's or Anthropic's form, and closes the connection. A socket pair
// takes the place of the network, and one thread runs everything. There is no cluster, so a valid request is
// answered with 503.
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "base/check.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/http_connection.h"
#include "coordinator/api/http_loop.h"
#include "coordinator/api/responses/response_store.h"
#include "nlohmann/json.hpp"
#include "spdlog/spdlog.h"
#include "tests/unit/api/byte_model.h"

namespace {

using namespace deeprack;
using namespace deeprack::coordinator;
namespace http = boost::beast::http;

HttpShared& Shared() {
  static SystemClock* const clock = new SystemClock();
  static ApiContext* const context = 
      new ApiContext(MakeByteModel(), std::make_shared<ResponseStore>(ResponseStoreLimits{}, clock), clock);
  static HttpShared* const shared = [] {
    spdlog::set_level(spdlog::level::off);
    auto* made = new HttpShared();
    made->options.cors_origins = {"http://a"};
    made->options.max_header_bytes = 1024;
    made->options.max_body_bytes = 8192;  // below kMaxInlineBodyBytes, so no work runs on another thread
    made->handler = MakeRouter(context);
    made->error_body = HttpErrorBody;
    made->work = std::make_unique<WorkPool>(0, 0);
    return made;
  }();
  return *shared;
}

// Reads everything that can be read without waiting.
void ReadAvailable(int socket, std::string& received) {
  char buffer[4096];
  for (;;) {
    const ssize_t n = ::recv(socket, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n <= 0) return;
    received.append(buffer, static_cast<size_t>(n));
  }
}

void CheckAnswer(const http::response<http::string_body>& answer) {
  const int status = static_cast<int>(answer.result_int());
  DR_CHECK(status == 200 || status == 204 || (status >= 400 && status < 500) || status == 503);
  if (answer[http::field::content_type] != "application/json" || answer.body().empty()) return;
  const auto body = nlohmann::json::parse(answer.body(), nullptr, /*allow_exceptions=*/false);
  DR_CHECK(body.is_object());
  if (status == 200 || body.contains("ready")) return;
  const auto& error = body.at("error");
  DR_CHECK(answer.count("x-request-id") == 1 && answer.count(http::field::date) == 1);
  DR_CHECK(error.at("message").is_string() && !error.at("message").get_ref<const std::string&>().empty());
  DR_CHECK(error.at("type").is_string());
  DR_CHECK(body.contains("type") || error.at("code").is_string());  // Anthropic's errors have no code
}

// There must be nothing between the answers or after them. The last answer may be cut, because a client that
// closes its side gets no more. The answer to HEAD has a length and no body.
void CheckAnswers(std::string_view received) {
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  while (!received.empty()) {
    if (received.substr(0, kContinue.size()) == kContinue) {
      received.remove_prefix(kContinue.size());
      continue;
    }
    DR_CHECK(received.substr(0, 7) == std::string_view("HTTP/1.").substr(0, received.size()));
    const size_t head = received.find("\r\n\r\n");
    if (head == received.npos) return;
    const std::string_view behind = received.substr(head + 4);
    if (behind.empty() || behind.substr(0, 7) == "HTTP/1.") {
      received = behind;
      continue;
    }
    http::response_parser<http::string_body> parser;
    parser.eager(true);
    boost::beast::error_code error;
    const size_t used = parser.put(boost::asio::buffer(received.data(), received.size()), error);
    if (!parser.is_done()) {
      DR_CHECK(!error || error == http::error::need_more);
      return;
    }
    CheckAnswer(parser.get());
    received.remove_prefix(used);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > (1 << 16)) return 0;  // a socket pair takes this many bytes at once
  int ends[2];
  DR_CHECK(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  HttpLoop loop;
  boost::asio::io_context& io = loop.io();
  boost::asio::ip::tcp::socket socket(io);
  socket.assign(boost::asio::ip::tcp::v4(), ends[0]);
  DR_CHECK(size == 0 || ::send(ends[1], data, size, MSG_NOSIGNAL) == static_cast<ssize_t>(size));

  bool closed = false;
  const auto executor = socket.get_executor();
  boost::asio::co_spawn(executor, ServeConnection(std::move(socket), Shared(), loop),
                        [&closed](std::exception_ptr thrown) {
                          DR_CHECK(!thrown);
                          closed = true;
                        });
  std::string received;
  while (io.poll() > 0) ReadAvailable(ends[1], received);
  ::shutdown(ends[1], SHUT_WR);  // the server gets the end of the input instead of more bytes
  while (!closed) {
    DR_CHECK(io.run_one_for(std::chrono::seconds(5)) > 0);
    ReadAvailable(ends[1], received);
  }
  ReadAvailable(ends[1], received);
  ::close(ends[1]);
  DR_CHECK(Shared().answering == 0);
  CheckAnswers(received);
  return 0;
}
