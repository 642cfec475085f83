// Turns the text of one answer into the output items of a response, and into the events of its stream.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "coordinator/api/json_fields.h"
#include "coordinator/api/text_delta.h"

namespace deeprack::coordinator {

// Items follow the order of the text: a change from reasoning to content, or to another tool call, ends the
// item that is open and opens the next one. For each item the events are, in this order:
//   reasoning:  output_item.added, content_part.added, reasoning_text.delta (one or more),
//               reasoning_text.done, content_part.done, output_item.done
//   message:    the same with output_text.delta and output_text.done
//   call:       output_item.added, function_call_arguments.delta (none or more),
//               function_call_arguments.done, output_item.done
class ResponseOutput {
 public:
  // Takes the JSON text of an event, an object that has fields, without `type` and `sequence_number`. Its
  // type is "response." and `type`.
  using EventSink = std::function<void(std::string_view type, const std::string& event)>;
  // A new id that begins with `prefix`.
  using IdMaker = std::function<std::string(const std::string& prefix)>;

  // Without `sink`, no events are made.
  explicit ResponseOutput(IdMaker make_id, EventSink sink = nullptr)
      : make_id_(std::move(make_id)), sink_(std::move(sink)) {}

  // Appends text. `logprobs`: entries of the content's tokens, an array.
  void Add(const TextDelta& text, Json logprobs = Json::array());

  // Ends the item that is open. `complete` is false if the answer was cut.
  void Finish(bool complete);

  // The items that have ended.
  const Json& items() const { return items_; }

 private:
  enum class Kind : uint8_t { kNone, kReasoning, kMessage, kCall };

  void AddReasoning(const std::string& text);
  void AddContent(const std::string& text, Json logprobs);
  void AddCall(const ToolCallDelta& call);
  void Open(Kind kind);
  void Close(const char* status);
  Json Item(const char* status) const;
  Json Part() const;
  Json Place() const;
  void Tell(std::string_view type, const Json& event) const;
  // Tells a delta of the open item. `logprobs`: null for an event without.
  void TellDelta(std::string_view type, std::string_view text, const Json& logprobs = nullptr) const;

  IdMaker make_id_;
  EventSink sink_;
  Json items_ = Json::array();

  // The item that is open.
  Kind kind_ = Kind::kNone;
  std::string id_;
  std::string text_;  // a call's arguments, too
  Json logprobs_ = Json::array();
  int32_t call_ = 0;
  std::string call_id_, name_;
};

}  // namespace deeprack::coordinator
