// A reply cut into pieces. Each byte of a reply belongs to one piece, and each piece has one place in the
// answer. The texts of all pieces, joined in order, are the text of the reply.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deeprack::coordinator {

enum class ReplyPlace : uint8_t {
  kReasoning,
  kContent,
  kCallName,       // begins the next tool call
  kCallArguments,  // belongs to the last tool call
  kMarker,         // one whole tag or marker, such as </think>; not shown
  kFrame,          // text that the format writes around tags, names and arguments; not shown
  kCallWhole,      // no text: the last tool call has ended, and is whole
};

struct ReplyPiece {
  ReplyPlace place = ReplyPlace::kContent;
  std::string text;   // of the reply, verbatim
  std::string shown;  // the text that the client sees; equals `text` except in names and arguments
};

class ReplyPieces {
 public:
  // Appends a piece that is shown as it stands, or not at all if the place is kMarker or kFrame.
  void Add(ReplyPlace place, std::string_view text) {
    const bool hidden = place == ReplyPlace::kMarker || place == ReplyPlace::kFrame;
    Add(place, text, hidden ? std::string_view() : text);
  }

  // Appends a piece. A piece without text is left out, except kCallWhole. A marker, and a piece that is shown
  // as another text, stay pieces of their own.
  void Add(ReplyPlace place, std::string_view text, std::string_view shown) {
    if (text.empty() && shown.empty() && place != ReplyPlace::kCallWhole) return;
    if (!pieces_.empty() && pieces_.back().place == place && Extends(place, text, shown) &&
        Extends(place, pieces_.back().text, pieces_.back().shown)) {
      pieces_.back().text += text;
      pieces_.back().shown += shown;
      return;
    }
    pieces_.push_back({place, std::string(text), std::string(shown)});
  }

  // Moves the pieces of `other` to the end of this.
  void Take(ReplyPieces& other) {
    for (const ReplyPiece& piece : other.pieces_) Add(piece.place, piece.text, piece.shown);
    other.pieces_.clear();
  }

  // The text of all pieces. Leaves this empty.
  std::string TakeText() {
    std::string text;
    for (const ReplyPiece& piece : pieces_) text += piece.text;
    pieces_.clear();
    return text;
  }

  bool empty() const { return pieces_.empty(); }
  auto begin() const { return pieces_.begin(); }
  auto end() const { return pieces_.end(); }

 private:
  static bool Extends(ReplyPlace place, std::string_view text, std::string_view shown) {
    if (place == ReplyPlace::kMarker || place == ReplyPlace::kCallName) return false;
    return place == ReplyPlace::kFrame || text.size() == shown.size();
  }

  std::vector<ReplyPiece> pieces_;
};

}  // namespace deeprack::coordinator
