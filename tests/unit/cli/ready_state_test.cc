#include "cli/serve/ready_state.h"

#include <gtest/gtest.h>

namespace deeprack::cli {
namespace {

TEST(ReadyState, IsReadFromJson) {
  const auto state = ParseReadyState(
      R"({"ready": false, "state": "loading", "bytes_done": 5, "bytes_total": 10, "message": null})");
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->state, "loading");
  EXPECT_EQ(state->bytes_done, 5);
  EXPECT_EQ(state->bytes_total, 10);
  EXPECT_EQ(state->message, "");
}

TEST(ReadyState, NamesTheRanksThatAreMissing) {
  const auto state =
      ParseReadyState(R"({"state": "recovering", "missing_ranks": [1, 3], "message": "lost"})");
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->missing_ranks, (std::vector<int64_t>{1, 3}));
}

TEST(ReadyState, IsNotReadFromAnythingElse) {
  for (const char* text : {"", "[]", "{}", "{\"state\": 3}", "<html>"})
    EXPECT_FALSE(ParseReadyState(text).ok()) << text;
}

TEST(Ports, AreReadFromTheCoordinatorsLine) {
  const auto ports = ParsePorts("{\"http\": 8000, \"cluster\": 41235}\n");
  ASSERT_TRUE(ports.ok());
  EXPECT_EQ(ports->http, 8000);
  EXPECT_EQ(ports->cluster, 41235);
  for (const char* text : {"", "8000", "{\"http\": 8000}", "{\"http\": 0, \"cluster\": 1}",
                           "{\"http\": 70000, \"cluster\": 1}"}) {
    EXPECT_FALSE(ParsePorts(text).ok()) << text;
  }
}

}  // namespace
}  // namespace deeprack::cli
