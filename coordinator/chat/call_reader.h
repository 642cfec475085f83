// Reads the inside of one tool call, while the call's text comes in parts. The call's name is given out as
// soon as the name is certain; then come the arguments. A reader serves one call.
#pragma once

#include <memory>
#include <string_view>

#include "coordinator/chat/reply_format.h"
#include "coordinator/chat/reply_piece.h"

namespace deeprack::coordinator {

// The longest name of a function, and the longest type of a call, in bytes.
inline constexpr size_t kMaxCallNameBytes = 256;

class CallReader {
 public:
  virtual ~CallReader() = default;

  // Takes the next text of the call. All of the text goes to `out`. False: this is no call, and `named` is
  // false; the pieces given out so far are ordinary text.
  virtual bool OnText(std::string_view text, ReplyPieces& out) = 0;

  // Takes the marker that stands between the parts of a call. False as with OnText.
  virtual bool OnSeparator(std::string_view marker, ReplyPieces& out) = 0;

  // The call has ended: by its end marker (`closed`), or because the reply was cut. Gives out the text that
  // was held back. False: no name could be read.
  virtual bool Finish(bool closed, ReplyPieces& out) = 0;

  // The name was given out. From now on every text is part of the call, or content that follows the call.
  virtual bool named() const = 0;

  // True inside a JSON string. The text of a marker in there is text.
  virtual bool in_string() const = 0;

  // True after Finish if the call is whole: its end marker came, or its arguments are one complete JSON
  // value.
  virtual bool whole() const = 0;
};

// A reader for a form that has tool calls.
std::unique_ptr<CallReader> MakeCallReader(ToolCallForm form);

}  // namespace deeprack::coordinator
