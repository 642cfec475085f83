// Gathers the text of a sequence's tokens into deltas, token by token. A token comes first; the places of its
// bytes come later, in order. A token is given out when all its bytes have a place, so the text of one token
// and the token's log-probability are in the same delta.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/api/text_delta.h"
#include "coordinator/chat/reply_piece.h"

namespace deeprack::coordinator {

class DeltaWriter {
 public:
  // The next token of the sequence. `bytes` is the token's text; empty if the token has none. Deltas have
  // `tokens` if `logprobs` is given.
  void AddToken(std::string_view bytes, std::optional<model::PositionLogprobs> logprobs);

  // Places the next bytes. `text` is the text of tokens that were added: their bytes, with U+FFFD for bytes
  // that are not UTF-8. `text` ends at the end of a character. `shown` is what the client sees: `text`,
  // nothing, or another text.
  void Place(ReplyPlace place, std::string_view text, std::string_view shown);

  // A stop ended the text: the bytes that have no place are not shown.
  void Cut();

  // The deltas since the last call: none, one, or several.
  std::vector<TextDelta> Take();

  // The number of tokens given out that have text in the reasoning.
  int64_t reasoning_tokens() const { return reasoning_tokens_; }

 private:
  // Bytes of one token that have the same place.
  struct Part {
    ReplyPlace place;
    size_t bytes = 0;
    std::string shown;
  };
  struct Token {
    size_t size = 0;    // bytes
    size_t placed = 0;  // bytes that have a place
    bool ends_character = true;
    std::string bytes;  // only with log-probabilities
    std::optional<model::PositionLogprobs> logprobs;
    std::vector<Part> parts;
  };

  // Places `count` bytes, which are one character. The last of them shows `shown`.
  void PlaceCharacter(ReplyPlace place, size_t count, std::string_view shown);
  void GiveWhole();
  void GiveFirst();
  void Show(ReplyPlace place, std::string_view shown);
  TextDelta& Delta(int order);

  std::deque<Token> tokens_;  // tokens that are not given out yet
  std::string bytes_;         // the bytes of tokens_ that have no place yet
  std::vector<TextDelta> deltas_;
  int order_ = 0;  // of the last text in the last delta: reasoning 0, content 1, tool calls 2
  int32_t calls_ = 0;
  int64_t reasoning_tokens_ = 0;
};

}  // namespace deeprack::coordinator
