// Checks the events of a stream of /v1/responses as a client reads them, for tests.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace deeprack::coordinator {

// Puts a response's output together from the deltas of its events, and compares with what the events' own
// done fields say.
class ResponseReader {
 public:
  using Json = nlohmann::ordered_json;

  // Takes an event of an output item: all types but those of the whole response.
  void Take(const std::string& type, const Json& event) {
    SCOPED_TRACE(type + " " + event.dump());
    ASSERT_EQ(event["output_index"], output_.size());
    if (type == "response.output_item.added") {
      ASSERT_FALSE(open_);
      open_ = true;
      has_part_ = part_done_ = false;
      item_ = event["item"];
      text_.clear();
      EXPECT_EQ(item_["status"], "in_progress");
      return;
    }
    ASSERT_TRUE(open_);
    if (type == "response.output_item.done") return TakeDone(event["item"]);
    ASSERT_EQ(event["item_id"], item_["id"]);
    if (item_["type"] == "function_call") return TakeCall(type, event);
    ASSERT_EQ(event["content_index"], 0);
    const std::string name = item_["type"] == "reasoning" ? "reasoning_text" : "output_text";
    if (type == "response.content_part.added") {
      ASSERT_FALSE(has_part_);
      has_part_ = true;
      EXPECT_EQ(event["part"]["type"], name);
      EXPECT_EQ(event["part"]["text"], "");
    } else if (type == "response." + name + ".delta") {
      ASSERT_TRUE(has_part_ && !part_done_);
      text_ += event["delta"].get<std::string>();
    } else if (type == "response." + name + ".done") {
      ASSERT_TRUE(has_part_ && !part_done_);
      part_done_ = true;
      EXPECT_EQ(event["text"], text_);
    } else {
      ASSERT_EQ(type, "response.content_part.done");
      ASSERT_TRUE(part_done_);
      EXPECT_EQ(event["part"]["type"], name);
      EXPECT_EQ(event["part"]["text"], text_);
    }
  }

  const Json& output() const { return output_; }
  bool open() const { return open_; }

 private:
  void TakeCall(const std::string& type, const Json& event) {
    if (type == "response.function_call_arguments.delta") {
      ASSERT_FALSE(part_done_);
      EXPECT_NE(event["delta"], "");
      text_ += event["delta"].get<std::string>();
    } else {
      ASSERT_EQ(type, "response.function_call_arguments.done");
      part_done_ = true;
      EXPECT_EQ(event["arguments"], text_);
      EXPECT_EQ(event["name"], item_["name"]);
    }
  }

  void TakeDone(const Json& item) {
    ASSERT_TRUE(part_done_);
    for (const char* field : {"id", "type"}) EXPECT_EQ(item[field], item_[field]);
    EXPECT_NE(item["status"], "in_progress");
    if (item["type"] == "function_call") {
      EXPECT_EQ(item_["arguments"], "");
      EXPECT_EQ(item["arguments"], text_);
      EXPECT_EQ(item["call_id"], item_["call_id"]);
      EXPECT_EQ(item["name"], item_["name"]);
    } else {
      EXPECT_EQ(item_["content"], Json::array());
      EXPECT_EQ(item["content"].size(), 1u);
      EXPECT_EQ(item["content"][0]["text"], text_);
    }
    output_.push_back(item);
    open_ = false;
  }

  Json output_ = Json::array();
  Json item_;  // as it was added
  std::string text_;
  bool open_ = false, has_part_ = false, part_done_ = false;
};

// Checks a whole stream, and returns the response of its last event.
inline ResponseReader::Json ReadResponseStream(const std::string& body) {
  using Json = ResponseReader::Json;
  ResponseReader reader;
  Json last;
  std::string id;
  int64_t number = 0;
  for (size_t at = 0; at < body.size();) {
    const size_t end = body.find("\n\n", at);
    const std::string block = body.substr(at, end - at);
    at = end == body.npos ? body.size() : end + 2;
    if (block.empty() || block[0] == ':') continue;
    const size_t line = block.find('\n');
    EXPECT_EQ(block.rfind("event: ", 0), 0u) << block;
    EXPECT_EQ(block.compare(line, 7, "\ndata: "), 0) << block;
    const std::string type = block.substr(7, line - 7);
    const Json event = Json::parse(block.substr(line + 7));
    EXPECT_EQ(event["type"], type);
    EXPECT_EQ(event["sequence_number"], number) << block;
    EXPECT_TRUE(last.is_null()) << "after the last event: " << block;
    if (number == 0) {
      EXPECT_EQ(type, "response.created");
      id = event["response"]["id"];
    }
    EXPECT_EQ(number == 1, type == "response.in_progress");
    if (number <= 1) {
      EXPECT_EQ(event["response"]["status"], "in_progress");
      EXPECT_EQ(event["response"]["output"], Json::array());
    } else if (event.contains("response")) {
      last = event["response"];
      EXPECT_EQ(type, "response." + last["status"].get<std::string>());
    } else {
      reader.Take(type, event);
    }
    ++number;
  }
  EXPECT_FALSE(reader.open());
  EXPECT_FALSE(last.is_null()) << body;
  if (last.is_null()) return Json::object();
  EXPECT_EQ(last["id"], id);
  EXPECT_EQ(last["output"], reader.output());
  return last;
}

}  // namespace deeprack::coordinator
