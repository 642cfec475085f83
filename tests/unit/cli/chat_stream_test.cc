// The HTTP client against a server that answers from a script.
#include "cli/http/chat_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/cli/scripted_server.h"

namespace deeprack::cli {
namespace {

using ::testing::HasSubstr;

absl::Status Ask(const Url& url, ChatAnswer& answer, const Cancelled& cancelled = nullptr) {
  const ChatListener listener = {.on_reasoning = [](absl::string_view) {},
                                 .on_content = [](absl::string_view) {}};
  return StreamChat(url, {.model = "m", .messages = {{"user", "hi"}}}, listener, cancelled, answer);
}

TEST(StreamChat, JoinsReasoningAndContent) {
  ScriptedServer server(
      {kStreamHead, "data: {\"choices\": [{\"delta\": {\"role\": \"assistant\", \"content\": null}}]}\n\n",
       "data: {\"choices\": [{\"delta\": {\"reasoning_content\": \"let me\"}}]}\n\n: keep-alive\n\ndata: "
       "{\"cho",
       "ices\": [{\"delta\": {\"content\": \"42\"}, \"finish_reason\": \"stop\"}]}\n\ndata: [DONE]\n\n"});
  ChatAnswer answer;
  EXPECT_TRUE(Ask(server.url(), answer).ok());
  EXPECT_EQ(answer.reasoning, "let me");
  EXPECT_EQ(answer.content, "42");
  EXPECT_EQ(answer.finish_reason, "stop");
}

TEST(StreamChat, ReportsAnErrorWithinTheStream) {
  ScriptedServer server({kStreamHead, "data: {\"choices\": [{\"delta\": {\"content\": \"4\"}}]}\n\n",
                         "data: {\"error\": {\"message\": \"rank 1 was lost\"}}\n\n"});
  ChatAnswer answer;
  const absl::Status status = Ask(server.url(), answer);
  EXPECT_EQ(status.message(), "rank 1 was lost");
  EXPECT_EQ(answer.content, "4");
}

TEST(StreamChat, NoticesAStreamWithoutAnEnd) {
  ScriptedServer server({kStreamHead, "data: {\"choices\": [{\"delta\": {\"content\": \"4\"}}]}\n\n"});
  ChatAnswer answer;
  EXPECT_EQ(Ask(server.url(), answer).code(), absl::StatusCode::kInternal);
}

TEST(StreamChat, HandsOnTheServersRefusal) {
  ScriptedServer server(
      {"HTTP/1.1 400 Bad Request\r\nContent-Length: 37\r\n\r\n{\"error\": {\"message\": \"no such "
       "field\"}}"});
  ChatAnswer answer;
  const absl::Status status = Ask(server.url(), answer);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the server answered 400: "));
}

TEST(StreamChat, StopsWhenTheUserHasHadEnough) {
  ScriptedServer server({kStreamHead, "data: {\"choices\": [{\"delta\": {\"content\": \"4\"}}]}\n\n"},
                        /*close=*/false);
  ChatAnswer answer;
  const absl::Status status = Ask(server.url(), answer, [&] { return answer.content == "4"; });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

TEST(StreamChat, SaysThatNobodyIsThere) {
  uint16_t port = 0;
  {
    boost::asio::io_context context;
    using boost::asio::ip::tcp;
    port = tcp::acceptor(context, tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0))
               .local_endpoint()
               .port();
  }
  ChatAnswer answer;
  const absl::Status status = Ask({.host = "127.0.0.1", .port = std::to_string(port)}, answer);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Connection refused"));
}

TEST(FirstModel, IsReadFromTheList) {
  const std::string body = R"({"object": "list", "data": [{"id": "demo"}, {"id": "other"}]})";
  ScriptedServer server(
      {"HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body});
  EXPECT_EQ(FirstModel(server.url()).value(), "demo");
}

TEST(HttpGet, GivesUpInTime) {
  ScriptedServer server({"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12"}, /*close=*/false);
  EXPECT_EQ(HttpGet(server.url(), "/ready", absl::Milliseconds(100)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace deeprack::cli
