#include "coordinator/chat/tool_call_parser.h"

#include "coordinator/chat/partial_match.h"

namespace deeprack::coordinator {
namespace {

constexpr std::string_view kHermesBegin = "<tool_call>";
constexpr std::string_view kHermesEnd = "</tool_call>";

bool IsBlank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == text.npos; }

}  // namespace

ToolCallParser::ToolCallParser(const ReplyFormat& format, bool one_call)
    : format_(format),
      one_call_(one_call),
      text_markers_(format.tool_calls == ToolCallForm::kHermes && !format.tool_call_begin) {}

bool ToolCallParser::IsMarker(TokenId id) const {
  if (state_ == State::kEnded) return false;
  if (id == format_.tool_calls_begin) return state_ != State::kCall && !in_list_;
  if (id == format_.tool_call_begin) return true;
  if (id == format_.tool_calls_end) return in_list_;
  return state_ != State::kText && (id == format_.tool_sep || id == format_.tool_call_end);
}

void ToolCallParser::OnMarker(TokenId id, std::string_view text, ReplyPieces& out) {
  if (id == format_.tool_calls_begin) {
    state_ = State::kText;
    GiveHeld(out);
    held_.Add(ReplyPlace::kMarker, text);
    in_list_ = list_held_ = skip_blanks_ = true;
    list_shown_ = false;
  } else if (id == format_.tool_call_begin) {
    if (state_ == State::kCall) EndCall(/*closed=*/false, "", out);
    if (state_ == State::kEnded) return out.Add(ReplyPlace::kMarker, text);
    BeginCall(text, out);
  } else if (id == format_.tool_calls_end) {
    EndList(text, out);
  } else if (state_ == State::kUnread) {
    out.Add(ReplyPlace::kContent, text);
    if (id == format_.tool_call_end) state_ = State::kText;
  } else if (id == format_.tool_call_end) {
    EndCall(/*closed=*/true, text, out);
  } else if (!reader_->OnSeparator(text, held_)) {
    HeldIsContent(out);
    state_ = State::kUnread;
  } else if (reader_->named()) {
    GiveHeld(out);
  }
}

void ToolCallParser::OnText(std::string_view text, ReplyPieces& out) {
  if (state_ == State::kEnded) {
    out.Add(ReplyPlace::kFrame, text);
  } else if (text_markers_) {
    TextWithMarkers(text, out);
  } else if (state_ == State::kCall) {
    InCall(text, out);
  } else {
    PlainText(text, out);
  }
}

void ToolCallParser::Finish(ReplyPieces& out) {
  if (state_ == State::kEnded) return;
  if (state_ == State::kCall) {
    InCall(partial_, out);
  } else {
    PlainText(partial_, out);
  }
  partial_.clear();
  if (state_ == State::kCall) EndCall(/*closed=*/false, "", out);
  state_ = State::kText;  // a call that the reply's end has cut ends nothing
  list_held_ ? HeldIsContent(out) : GiveHeld(out);
}

void ToolCallParser::PlainText(std::string_view text, ReplyPieces& out) {
  if (text.empty()) return;
  if (skip_blanks_ && state_ == State::kText) {
    if (IsBlank(text)) {
      held_.Add(ReplyPlace::kFrame, text);
      return;
    }
    skip_blanks_ = false;
    HeldIsContent(out);
  }
  out.Add(ReplyPlace::kContent, text);
}

void ToolCallParser::TextWithMarkers(std::string_view text, ReplyPieces& out) {
  const std::string all = partial_.append(text);
  partial_.clear();
  std::string_view rest = all;
  while (!rest.empty()) {
    if (state_ == State::kEnded) return out.Add(ReplyPlace::kFrame, rest);
    const bool goes_on = state_ == State::kCall ? UntilCallEnd(rest, out) : UntilCallBegin(rest, out);
    if (goes_on) continue;
    partial_ = rest;
    return;
  }
}

bool ToolCallParser::UntilCallBegin(std::string_view& text, ReplyPieces& out) {
  const size_t at = text.find(kHermesBegin);
  const size_t plain = at != text.npos ? at : text.size() - PartialMatch(text, kHermesBegin);
  PlainText(text.substr(0, plain), out);
  text.remove_prefix(plain);
  if (at == text.npos) return text.empty();
  BeginCall(kHermesBegin, out);
  text.remove_prefix(kHermesBegin.size());
  return true;
}

bool ToolCallParser::UntilCallEnd(std::string_view& text, ReplyPieces& out) {
  while (!text.empty() && state_ == State::kCall) {
    if (!reader_->in_string()) {
      if (text.substr(0, kHermesEnd.size()) == kHermesEnd) {
        EndCall(/*closed=*/true, kHermesEnd, out);
        text.remove_prefix(kHermesEnd.size());
        return true;
      }
      if (kHermesEnd.substr(0, text.size()) == text) return false;
    }
    if (!reader_->OnText(text.substr(0, 1), held_)) {
      // The refused byte is the last one of held_. It may begin the marker of another call.
      std::string before = held_.TakeText();
      before.pop_back();
      held_.Add(ReplyPlace::kFrame, before);
      HeldIsContent(out);
      state_ = State::kText;
      return true;
    }
    if (reader_->named()) GiveHeld(out);
    text.remove_prefix(1);
  }
  return true;
}

void ToolCallParser::BeginCall(std::string_view marker, ReplyPieces& out) {
  held_.Add(ReplyPlace::kMarker, marker);
  reader_ = MakeCallReader(format_.tool_calls);
  state_ = State::kCall;
  skip_blanks_ = false;
}

void ToolCallParser::EndCall(bool closed, std::string_view marker, ReplyPieces& out) {
  const bool is_call = reader_->Finish(closed, held_);
  state_ = State::kText;
  if (!is_call) {
    HeldIsContent(out);
    out.Add(ReplyPlace::kContent, marker);
    skip_blanks_ = false;
    return;
  }
  GiveHeld(out);
  if (reader_->whole()) out.Add(ReplyPlace::kCallWhole, "");
  out.Add(ReplyPlace::kMarker, marker);
  skip_blanks_ = true;
  if (one_call_) state_ = State::kEnded;
}

void ToolCallParser::InCall(std::string_view text, ReplyPieces& out) {
  if (text.empty()) return;
  if (!reader_->OnText(text, held_)) {
    HeldIsContent(out);
    state_ = text_markers_ ? State::kText : State::kUnread;
  } else if (reader_->named()) {
    GiveHeld(out);
  }
}

void ToolCallParser::EndList(std::string_view marker, ReplyPieces& out) {
  if (state_ == State::kCall) EndCall(/*closed=*/false, "", out);
  if (state_ == State::kEnded) return out.Add(ReplyPlace::kMarker, marker);
  if (list_held_) HeldIsContent(out);
  if (list_shown_) {
    HeldIsContent(out);
    out.Add(ReplyPlace::kContent, marker);
  } else {
    GiveHeld(out);
    out.Add(ReplyPlace::kMarker, marker);
  }
  state_ = State::kText;
  in_list_ = list_shown_ = skip_blanks_ = false;
}

void ToolCallParser::GiveHeld(ReplyPieces& out) {
  out.Take(held_);
  list_held_ = false;
}

void ToolCallParser::HeldIsContent(ReplyPieces& out) {
  out.Add(ReplyPlace::kContent, held_.TakeText());
  if (list_held_) list_shown_ = true;
  list_held_ = false;
}

}  // namespace deeprack::coordinator
