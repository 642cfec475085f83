#include "cli/http/sse_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace deeprack::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SseReader, ReadsEventsAndSkipsComments) {
  SseReader reader;
  EXPECT_THAT(reader.Feed(": keep-alive\n\ndata: {\"a\": 1}\n\nevent: x\ndata:b\ndata: c\n\ndata: [DO"),
              ElementsAre("{\"a\": 1}", "b\nc"));
  EXPECT_THAT(reader.Feed("NE]\n"), IsEmpty());
  EXPECT_THAT(reader.Feed("\n"), ElementsAre("[DONE]"));
}

TEST(SseReader, GivesTheSameWhereverTheBytesAreCutAndHoweverLinesEnd) {
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    const std::string text = "data: one" + end + end + ": x" + end + "data: two" + end + end;
    SseReader reader;
    std::vector<std::string> events;
    for (char byte : text) {
      for (std::string& event : reader.Feed({&byte, 1})) events.push_back(std::move(event));
    }
    EXPECT_THAT(events, ElementsAre("one", "two"));
  }
}

}  // namespace
}  // namespace deeprack::cli
