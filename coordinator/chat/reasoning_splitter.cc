#include "coordinator/chat/reasoning_splitter.h"

#include <algorithm>

namespace deeprack::coordinator {
namespace {

constexpr int kBreaksAfterBegin = 1;
constexpr int kBreaksAfterEnd = 2;

bool StartsInReasoning(ReasoningStart start) {
  return start == ReasoningStart::kOpenByPrompt || start == ReasoningStart::kUntilThinkEnd;
}

}  // namespace

ReasoningSplitter::ReasoningSplitter(const ReplyFormat& format, ReasoningStart start)
    : think_begin_(format.think_begin),
      think_end_(format.think_end),
      in_reasoning_(think_end_.has_value() && StartsInReasoning(start)) {}

void ReasoningSplitter::OnTag(TokenId id, std::string_view text, ReplyPieces& out) {
  at_start_ = false;
  if (held_break_) out.Add(ReplyPlace::kFrame, "\n");
  held_break_ = false;
  out.Add(ReplyPlace::kMarker, text);
  in_reasoning_ = id == think_begin_;
  breaks_after_tag_ = in_reasoning_ ? kBreaksAfterBegin : kBreaksAfterEnd;
}

std::string_view ReasoningSplitter::OnText(std::string_view text, ReplyPieces& out) {
  at_start_ = false;
  text = SkipBreaks(text, out);
  if (!in_reasoning_ || text.empty()) return text;
  if (held_break_) out.Add(ReplyPlace::kReasoning, "\n");
  held_break_ = text.back() == '\n';
  out.Add(ReplyPlace::kReasoning, text.substr(0, text.size() - (held_break_ ? 1 : 0)));
  return {};
}

void ReasoningSplitter::EndReasoning(ReplyPieces& out) {
  at_start_ = false;
  if (held_break_) out.Add(ReplyPlace::kReasoning, "\n");
  held_break_ = false;
  breaks_after_tag_ = 0;
  in_reasoning_ = false;
}

std::string_view ReasoningSplitter::SkipBreaks(std::string_view text, ReplyPieces& out) {
  if (breaks_after_tag_ == 0 || text.empty()) return text;
  const size_t breaks = std::min(text.find_first_not_of('\n'), text.size());
  const size_t skipped = std::min<size_t>(breaks, breaks_after_tag_);
  out.Add(ReplyPlace::kFrame, text.substr(0, skipped));
  breaks_after_tag_ = skipped == text.size() ? breaks_after_tag_ - static_cast<int>(skipped) : 0;
  return text.substr(skipped);
}

}  // namespace deeprack::coordinator
