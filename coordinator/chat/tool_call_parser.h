// Finds the tool calls in the content of a reply, in the form that a ReplyFormat names. Calls are given out
// in parts while they come. Text that cannot be read as a call becomes content, verbatim, with its markers.
//
// Markers are found by token id. The Hermes form's markers are found by their text if the vocabulary lacks
// them, however the text is cut into tokens. Blank text between the markers of calls belongs to the markers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "coordinator/chat/call_reader.h"
#include "coordinator/chat/reply_format.h"
#include "coordinator/chat/reply_piece.h"

namespace deeprack::coordinator {

class ToolCallParser {
 public:
  // `one_call`: no text after the first call is shown.
  explicit ToolCallParser(const ReplyFormat& format, bool one_call = false);

  // True if the next token is a marker.
  bool IsMarker(TokenId id) const;

  // True if the token begins calls even in reasoning. DeepSeek's markers do; a model that reasons about the
  // Hermes form may write its marker.
  bool BeginsCalls(TokenId id) const {
    return format_.tool_calls != ToolCallForm::kHermes &&
           (id == format_.tool_calls_begin || id == format_.tool_call_begin);
  }

  // Takes a marker and the marker's text.
  void OnMarker(TokenId id, std::string_view text, ReplyPieces& out);

  // Takes text between markers.
  void OnText(std::string_view text, ReplyPieces& out);

  // The reply has ended: gives out the text that was held back. A call that has not ended is cut.
  void Finish(ReplyPieces& out);

  // True if the first call has ended, and the parser was made for one call.
  bool ended() const { return state_ == State::kEnded; }

 private:
  enum class State : uint8_t {
    kText,    // outside calls
    kCall,    // inside a call
    kUnread,  // inside a call that could not be read: the text is content
    kEnded,   // after the one call: the text is not shown
  };

  void PlainText(std::string_view text, ReplyPieces& out);
  void TextWithMarkers(std::string_view text, ReplyPieces& out);
  // Each takes text from the front of `text`. False: the rest of `text` must wait for more.
  bool UntilCallBegin(std::string_view& text, ReplyPieces& out);
  bool UntilCallEnd(std::string_view& text, ReplyPieces& out);
  void BeginCall(std::string_view marker, ReplyPieces& out);
  void EndCall(bool closed, std::string_view marker, ReplyPieces& out);
  void InCall(std::string_view text, ReplyPieces& out);
  void EndList(std::string_view marker, ReplyPieces& out);
  // Gives out held_: as it is, or as content.
  void GiveHeld(ReplyPieces& out);
  void HeldIsContent(ReplyPieces& out);

  ReplyFormat format_;
  bool one_call_;
  bool text_markers_;  // markers are found by their text
  State state_ = State::kText;
  std::unique_ptr<CallReader> reader_;  // in a call
  ReplyPieces held_;                    // markers, blanks and a beginning call, until a name is read
  std::string partial_;                 // text markers: text that may be the beginning of a marker
  bool in_list_ = false;                // between the markers of a list of calls
  bool list_held_ = false;              // the marker that opened the list is in held_
  bool list_shown_ = false;             // the marker that opened the list became content
  bool skip_blanks_ = false;            // blank text after a marker waits for what comes next
};

}  // namespace deeprack::coordinator
