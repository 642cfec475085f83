#include "coordinator/api/responses/response_output.h"

#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/api/response_events.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;

struct Made {
  std::vector<std::string> types;
  std::vector<Json> events;
  Json items;
};

// What an answer makes of the parts of its text.
Made Make(const std::vector<TextDelta>& parts, bool complete = true) {
  Made made;
  int ids = 0;
  ResponseOutput output([&ids](const std::string& prefix) { return absl::StrCat(prefix, ++ids); },
                        [&made](std::string_view type, const std::string& event) {
                          made.types.emplace_back(type);
                          made.events.push_back(Json::parse(event));
                          EXPECT_EQ(made.events.back().dump(), event);
                        });
  for (const TextDelta& part : parts) output.Add(part);
  output.Finish(complete);
  made.items = output.items();
  return made;
}

TEST(ResponseOutput, EventsOfAThoughtATextAndACall) {
  const Made made = Make({{.reasoning = "I "},
                          {.reasoning = "see", .content = "So"},
                          {.content = " be it", .tool_calls = {{.call = 0, .name = "add"}}},
                          {.tool_calls = {{.call = 0, .arguments = "{}"}}}});
  EXPECT_THAT(
      made.types,
      ElementsAre("output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta",
                  "reasoning_text.done", "content_part.done", "output_item.done",  //
                  "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
                  "output_text.done", "content_part.done", "output_item.done",  //
                  "output_item.added", "function_call_arguments.delta", "function_call_arguments.done",
                  "output_item.done"));
  EXPECT_EQ(made.items, Json::parse(R"([
    {"id": "rs_1", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "I see"}],
     "encrypted_content": null, "status": "completed"},
    {"id": "msg_2", "type": "message", "status": "completed", "role": "assistant",
     "content": [{"type": "output_text", "text": "So be it", "annotations": [], "logprobs": []}]},
    {"id": "fc_4", "type": "function_call", "status": "completed", "call_id": "call_3", "name": "add",
     "arguments": "{}"}])"));
}

TEST(ResponseOutput, TheCutItemIsIncomplete) {
  const Json items = Make({{.reasoning = "a"}, {.content = "b"}}, /*complete=*/false).items;
  EXPECT_EQ(items[0]["status"], "completed");
  EXPECT_EQ(items[1]["status"], "incomplete");
}

TEST(ResponseOutput, AnEmptyAnswerHasNoItems) {
  const Made made = Make({{}});
  EXPECT_TRUE(made.types.empty());
  EXPECT_EQ(made.items, Json::array());
}

TEST(ResponseOutput, LogprobsStandInDeltasAndInTheText) {
  std::vector<Json> deltas;
  ResponseOutput output([](const std::string& prefix) { return prefix; },
                        [&deltas](std::string_view type, const std::string& event) {
                          if (type == "output_text.delta") deltas.push_back(Json::parse(event)["logprobs"]);
                        });
  output.Add({.content = "a"}, Json::array({1}));
  output.Add({.content = "b"}, Json::array({2, 3}));
  output.Finish(true);
  EXPECT_THAT(deltas, ElementsAre(Json::array({1}), Json::array({2, 3})));
  EXPECT_EQ(output.items()[0]["content"][0]["logprobs"], Json::array({1, 2, 3}));
}

// A reply: a list of reasoning, content and calls. Returns it cut into deltas at random places.
class RandomReply {
 public:
  explicit RandomReply(uint32_t seed) : random_(seed) {
    const int segments = Below(6);
    for (int i = 0; i < segments; ++i) {
      const int kind = Below(3);
      const std::string text(Below(12) + (kind < 2 ? 1 : 0), static_cast<char>('a' + i));
      if (kind == 0) AddText("reasoning", text);
      if (kind == 1) AddText("message", text);
      if (kind == 2) whole_.push_back({"function_call", text});
    }
  }

  // Cuts keep the order of TextDelta: reasoning, then content, then calls.
  std::vector<TextDelta> Cut() {
    std::vector<TextDelta> deltas(1);
    int order = 0, calls = 0;
    for (const auto& [type, text] : whole_) {
      const int place = type == "reasoning" ? 0 : type == "message" ? 1 : 2;
      if (place < order || Below(2) == 0) Next(deltas, order);
      order = place;
      bool first = true;
      for (size_t at = 0; at < text.size() || first;) {
        const size_t n = std::min<size_t>(text.size() - at, Below(4) + 1);
        const std::string piece = text.substr(at, n);
        at += n;
        TextDelta& delta = deltas.back();
        if (place == 0) delta.reasoning += piece;
        if (place == 1) delta.content += piece;
        if (place == 2) {
          delta.tool_calls.push_back({.call = calls, .name = first ? "f" : "", .arguments = piece});
        }
        first = false;
        if (Below(3) > 0 && at < text.size()) {
          Next(deltas, order);
          order = place;
        }
      }
      if (place == 2) ++calls;
    }
    return deltas;
  }

  const std::vector<std::pair<std::string, std::string>>& whole() const { return whole_; }

 private:
  int Below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }
  void AddText(const std::string& type, const std::string& text) {
    if (!whole_.empty() && whole_.back().first == type) {
      whole_.back().second += text;
    } else {
      whole_.push_back({type, text});
    }
  }
  static void Next(std::vector<TextDelta>& deltas, int& order) {
    deltas.emplace_back();
    order = 0;
  }

  std::mt19937 random_;
  std::vector<std::pair<std::string, std::string>> whole_;  // type of item, text
};

TEST(ResponseOutput, PartsJoinToTheWholeHoweverItIsCut) {
  for (uint32_t seed = 0; seed < 10000; ++seed) {
    SCOPED_TRACE(seed);
    RandomReply reply(seed);
    const Made made = Make(reply.Cut());
    ResponseReader reader;
    for (size_t i = 0; i < made.events.size(); ++i) {
      reader.Take(absl::StrCat("response.", made.types[i]), made.events[i]);
    }
    ASSERT_EQ(reader.output(), made.items);
    ASSERT_EQ(made.items.size(), reply.whole().size());
    for (size_t i = 0; i < made.items.size(); ++i) {
      const auto& [type, text] = reply.whole()[i];
      const Json& item = made.items[i];
      ASSERT_EQ(item["type"], type);
      ASSERT_EQ(type == "function_call" ? item["arguments"] : item["content"][0]["text"], text);
    }
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace deeprack::coordinator
