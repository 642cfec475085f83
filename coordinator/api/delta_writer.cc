#include "coordinator/api/delta_writer.h"

#include <algorithm>
#include <utility>

#include "coordinator/tokenizer/utf8.h"

namespace deeprack::coordinator {
namespace {

// The order of text in one delta.
int OrderOf(ReplyPlace place) {
  return place == ReplyPlace::kReasoning ? 0 : place == ReplyPlace::kContent ? 1 : 2;
}

// The place of a token whose bytes are there. nullopt: tags, markers and frames are listed nowhere.
std::optional<TokenPlace> PlaceOf(ReplyPlace place) {
  switch (place) {
    case ReplyPlace::kReasoning:
      return TokenPlace::kReasoning;
    case ReplyPlace::kContent:
      return TokenPlace::kContent;
    case ReplyPlace::kCallName:
    case ReplyPlace::kCallArguments:
      return TokenPlace::kToolCall;
    case ReplyPlace::kMarker:
    case ReplyPlace::kFrame:
    case ReplyPlace::kCallWhole:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

void DeltaWriter::AddToken(std::string_view bytes, std::optional<model::PositionLogprobs> logprobs) {
  Token& token = tokens_.emplace_back();
  token.size = bytes.size();
  if (logprobs) token.bytes = bytes;
  token.logprobs = std::move(logprobs);
  bytes_.append(bytes);
  GiveWhole();
}

void DeltaWriter::Place(ReplyPlace place, std::string_view text, std::string_view shown) {
  const bool verbatim = text.size() == shown.size() && place != ReplyPlace::kCallName;
  size_t at = 0;  // in bytes_
  for (size_t i = 0; i < text.size() && at < bytes_.size();) {
    const Utf8Step step = ReadUtf8(std::string_view(bytes_).substr(at));
    const size_t length = step.kind == Utf8Kind::kValid ? step.length : kReplacementCharacter.size();
    PlaceCharacter(place, step.length, verbatim ? text.substr(i, length) : std::string_view());
    at += step.length;
    i += length;
  }
  bytes_.erase(0, at);
  if (!verbatim && !shown.empty()) {
    // A text of its own goes with the last token that is not given out yet, or at once.
    const auto last =
        std::find_if(tokens_.rbegin(), tokens_.rend(), [](const Token& t) { return t.placed > 0; });
    if (last != tokens_.rend()) {
      last->parts.push_back({place, 0, std::string(shown)});
    } else {
      Show(place, shown);
    }
  }
  GiveWhole();
}

void DeltaWriter::PlaceCharacter(ReplyPlace place, size_t count, std::string_view shown) {
  for (Token& token : tokens_) {
    const size_t taken = std::min(count, token.size - token.placed);
    if (taken == 0) continue;
    if (token.parts.empty() || token.parts.back().place != place) token.parts.push_back({place, 0, {}});
    token.parts.back().bytes += taken;
    token.placed += taken;
    count -= taken;
    token.ends_character = count == 0;
    if (count > 0) continue;
    token.parts.back().shown += shown;
    return;
  }
}

void DeltaWriter::Cut() {
  while (!tokens_.empty() && tokens_.front().placed > 0) GiveFirst();
  tokens_.clear();
  bytes_.clear();
}

std::vector<TextDelta> DeltaWriter::Take() {
  order_ = 0;
  return std::exchange(deltas_, {});
}

// A token that ends inside a character waits for the token with the rest of the character.
void DeltaWriter::GiveWhole() {
  size_t whole = 0;
  bool between_characters = true;
  for (size_t i = 0; i < tokens_.size() && tokens_[i].placed == tokens_[i].size; ++i) {
    if (tokens_[i].size > 0) between_characters = tokens_[i].ends_character;
    if (between_characters) whole = i + 1;
  }
  for (; whole > 0; --whole) GiveFirst();
}

void DeltaWriter::GiveFirst() {
  const Token& token = tokens_.front();
  const auto in_reasoning = [](const Part& part) { return part.place == ReplyPlace::kReasoning; };
  if (std::ranges::any_of(token.parts, in_reasoning)) ++reasoning_tokens_;
  if (token.size == 0 && token.logprobs) {
    Delta(order_).tokens.push_back({TokenPlace::kNoText, "", *token.logprobs});
  }
  size_t at = 0;
  for (const Part& part : token.parts) {
    Show(part.place, part.shown);
    const std::optional<TokenPlace> place = PlaceOf(part.place);
    if (token.logprobs && place && part.bytes > 0) {
      Delta(OrderOf(part.place))
          .tokens.push_back({*place, token.bytes.substr(at, part.bytes), *token.logprobs});
    }
    at += part.bytes;
  }
  tokens_.pop_front();
}

void DeltaWriter::Show(ReplyPlace place, std::string_view shown) {
  if (shown.empty()) return;
  switch (place) {
    case ReplyPlace::kReasoning:
      Delta(OrderOf(place)).reasoning += shown;
      return;
    case ReplyPlace::kContent:
      Delta(OrderOf(place)).content += shown;
      return;
    case ReplyPlace::kCallName:
      Delta(OrderOf(place))
          .tool_calls.push_back({.call = calls_++, .name = std::string(shown), .arguments = {}});
      return;
    case ReplyPlace::kCallArguments: {
      std::vector<ToolCallDelta>& calls = Delta(OrderOf(place)).tool_calls;
      if (calls.empty()) calls.push_back({.call = calls_ - 1, .name = {}, .arguments = {}});
      calls.back().arguments += shown;
      return;
    }
    case ReplyPlace::kMarker:
    case ReplyPlace::kFrame:
    case ReplyPlace::kCallWhole:
      return;
  }
}

// The delta for text of this order: the last one, unless it has text that comes later in a delta.
TextDelta& DeltaWriter::Delta(int order) {
  if (deltas_.empty() || order < order_) deltas_.emplace_back();
  order_ = order;
  return deltas_.back();
}

}  // namespace deeprack::coordinator
