#include "cli/http/http_client.h"

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"

namespace deeprack::cli {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using ErrorCode = boost::system::error_code;

constexpr auto kLookAround = std::chrono::milliseconds(50);
constexpr uint64_t kMaxBody = uint64_t{64} << 20;
constexpr uint64_t kMaxPostAnswer = uint64_t{1} << 30;

// One connection. Its operations are asynchronous inside, so that each can be ended by a deadline or by
// `Cancelled`.
class Connection {
 public:
  Connection(const Url& url, Cancelled cancelled)
      : url_(url), cancelled_(std::move(cancelled)), socket_(context_) {}

  absl::Status Connect(absl::Time deadline) {
    asio::ip::tcp::resolver resolver(context_);
    ErrorCode error;
    const auto endpoints = resolver.resolve(url_.host, url_.port, error);
    if (error) return absl::UnavailableError(absl::StrCat(url_.host, ": ", error.message()));
    asio::async_connect(socket_, endpoints, [this](ErrorCode result, const auto&) { done_ = result; });
    return Await("connecting", deadline);
  }

  absl::Status Send(http::request<http::string_body> request, absl::Time deadline) {
    request.set(http::field::host, url_.authority());
    request.set(http::field::user_agent, "deeprack");
    request.set(http::field::connection, "close");
    if (!url_.key.empty()) request.set(http::field::authorization, absl::StrCat("Bearer ", url_.key));
    request.prepare_payload();
    http::async_write(socket_, request, [this](ErrorCode result, size_t) { done_ = result; });
    return Await("sending", deadline);
  }

  template <class Parser>
  absl::Status ReadHeader(Parser& parser, absl::Time deadline) {
    http::async_read_header(socket_, buffer_, parser, [this](ErrorCode result, size_t) { done_ = result; });
    return Await("waiting for the answer", deadline);
  }

  template <class Parser>
  absl::Status ReadSome(Parser& parser, absl::Time deadline) {
    http::async_read_some(socket_, buffer_, parser, [this](ErrorCode result, size_t) {
      // need_buffer: the buffer is full, which ends the read of one piece.
      done_ = result == http::error::need_buffer ? ErrorCode() : result;
    });
    return Await("reading the answer", deadline);
  }

 private:
  absl::Status Await(const char* doing, absl::Time deadline) {
    absl::Status given_up;
    while (!done_.has_value()) {
      context_.restart();
      context_.run_one_for(kLookAround);
      if (done_.has_value() || !given_up.ok()) continue;
      if (cancelled_ && cancelled_()) {
        given_up = absl::CancelledError("stopped");
      } else if (absl::Now() >= deadline) {
        given_up =
            absl::DeadlineExceededError(absl::StrCat(url_.authority(), ": no answer in time while ", doing));
      }
      ErrorCode ignored;
      if (!given_up.ok()) socket_.close(ignored);  // ends the operation with an error
    }
    const ErrorCode result = *std::exchange(done_, std::nullopt);
    if (!given_up.ok()) return given_up;
    if (result)
      return absl::UnavailableError(absl::StrCat(url_.authority(), ": ", result.message(), " while ", doing));
    return absl::OkStatus();
  }

  const Url url_;
  const Cancelled cancelled_;
  asio::io_context context_;
  asio::ip::tcp::socket socket_;
  beast::flat_buffer buffer_;
  std::optional<ErrorCode> done_;
};

absl::Status StatusOfAnswer(int status, const std::string& body) {
  // The message of OpenAI's error object, or the whole body.
  std::string message = body.substr(0, 500);
  const auto json = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("error") && json["error"].is_object()) {
    const auto& text = json["error"]["message"];
    if (text.is_string()) message = text.get<std::string>();
  }
  message = absl::StrCat("the server answered ", status, ": ", message);
  if (status == 429) return absl::ResourceExhaustedError(message);
  if (status == 503) return absl::UnavailableError(message);
  if (status >= 400 && status < 500) return absl::InvalidArgumentError(message);
  return absl::InternalError(message);
}

}  // namespace

absl::StatusOr<HttpResponse> HttpGet(const Url& url, const std::string& target, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  Connection connection(url, nullptr);
  DR_RETURN_IF_ERROR(connection.Connect(deadline));
  http::request<http::string_body> request(http::verb::get, url.path + target, 11);
  DR_RETURN_IF_ERROR(connection.Send(std::move(request), deadline));
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxBody);
  DR_RETURN_IF_ERROR(connection.ReadHeader(parser, deadline));
  while (!parser.is_done()) DR_RETURN_IF_ERROR(connection.ReadSome(parser, deadline));
  return HttpResponse{static_cast<int>(parser.get().result_int()), std::move(parser.get().body())};
}

absl::Status HttpPostStreaming(const Url& url, const std::string& target, const std::string& json,
                               absl::Duration silence, const std::function<bool(absl::string_view)>& on_data,
                               const Cancelled& cancelled) {
  Connection connection(url, cancelled);
  DR_RETURN_IF_ERROR(connection.Connect(absl::Now() + silence));
  http::request<http::string_body> request(http::verb::post, url.path + target, 11);
  request.set(http::field::content_type, "application/json");
  request.body() = json;
  DR_RETURN_IF_ERROR(connection.Send(std::move(request), absl::Now() + silence));

  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);  // a stream has no limit
  DR_RETURN_IF_ERROR(connection.ReadHeader(parser, absl::Now() + silence));
  const int status = static_cast<int>(parser.get().result_int());
  std::string error_body;
  std::array<char, 8192> piece;
  while (!parser.is_done()) {
    if (cancelled && cancelled())
      return absl::CancelledError("stopped");  // also when data arrives without a pause
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    DR_RETURN_IF_ERROR(connection.ReadSome(parser, absl::Now() + silence));
    const absl::string_view data(piece.data(), piece.size() - parser.get().body().size);
    if (status != 200) {
      error_body.append(data.data(), data.size());
      if (error_body.size() > kMaxBody) break;
    } else if (!data.empty() && !on_data(data)) {
      return absl::OkStatus();
    }
  }
  return status == 200 ? absl::OkStatus() : StatusOfAnswer(status, error_body);
}

absl::StatusOr<std::string> HttpPost(const Url& url, const std::string& target, const std::string& json,
                                     absl::Duration silence, const Cancelled& cancelled) {
  std::string body;
  const auto on_data = [&](absl::string_view data) {
    body.append(data.data(), data.size());
    return body.size() <= kMaxPostAnswer;
  };
  DR_RETURN_IF_ERROR(HttpPostStreaming(url, target, json, silence, on_data, cancelled));
  if (body.size() > kMaxPostAnswer) {
    return absl::ResourceExhaustedError(
        absl::StrCat(url.authority(), target, ": the answer has more than ", kMaxPostAnswer, " bytes"));
  }
  return body;
}

}  // namespace deeprack::cli
