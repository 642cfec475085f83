#include "coordinator/api/sequence_text.h"

#include <algorithm>
#include <utility>

namespace deeprack::coordinator {

SequenceText::SequenceText(const Tokenizer* tokenizer, const TextOptions& options)
    : tokenizer_(tokenizer),
      options_(options),
      detokenizer_(tokenizer, options.show_special),
      parser_(options.format.value_or(ReplyFormat()), options.reasoning, options.parse_tool_calls,
              options.one_tool_call),
      stop_(options.stop, options.include_stop) {
  if (!options.format || !options.format->think_end) return;
  think_end_ = tokenizer->TokenBytes(*options.format->think_end, /*show_special=*/true);
}

void SequenceText::Append(TokenId id, std::optional<model::PositionLogprobs> logprobs) {
  if (stopped()) return;
  may_stop_ = ++tokens_ > options_.min_tokens;
  if (parser_.IsMarker(id)) {
    TakeText(detokenizer_.Finish());  // the text held back belongs to the part that ends here
    if (stopped()) return;
  }
  if (parser_.IsMarker(id)) {  // the text held back may make the token plain text
    const std::string_view text = tokenizer_->TokenBytes(id, /*show_special=*/true);
    writer_.AddToken(text, std::move(logprobs));
    ReplyPieces pieces;
    parser_.OnMarker(id, text, pieces);
    Place(pieces);
  } else {
    writer_.AddToken(tokenizer_->TokenBytes(id, options_.show_special), std::move(logprobs));
    TakeText(detokenizer_.Append(id));
  }
}

void SequenceText::AppendStopToken(TokenId id, std::optional<model::PositionLogprobs> logprobs) {
  if (stopped()) return;
  if (options_.include_stop || (options_.show_special && tokenizer_->IsSpecial(id))) {
    writer_.AddToken(tokenizer_->TokenBytes(id, options_.show_special), std::move(logprobs));
    TakeText(detokenizer_.Append(id));
  } else {
    writer_.AddToken("", std::move(logprobs));
  }
}

void SequenceText::Finish() {
  if (stopped()) return;
  TakeText(detokenizer_.Finish());
  ReplyPieces pieces;
  parser_.Finish(pieces);
  Place(pieces);
  PlaceHeld();
}

void SequenceText::TakeText(std::string_view text) {
  ReplyPieces pieces;
  parser_.OnText(text, pieces);
  Place(pieces);
}

void SequenceText::Place(const ReplyPieces& pieces) {
  for (const ReplyPiece& piece : pieces) {
    if (!stopped_by_.empty()) return;
    const bool searched = piece.place == ReplyPlace::kContent ||
                          (piece.place == ReplyPlace::kReasoning && options_.stop_in_reasoning);
    if (searched) {
      PlaceSearched(piece);
      continue;
    }
    PlaceHeld();
    if (piece.place == ReplyPlace::kCallName) last_call_whole_ = false;
    if (piece.place == ReplyPlace::kCallWhole) {
      last_call_whole_ = true;
    } else if (piece.place == ReplyPlace::kMarker) {
      PlaceMarker(piece);
    } else {
      writer_.Place(piece.place, piece.text, piece.shown);
    }
  }
  if (!parser_.ended()) return;
  PlaceHeld();
  writer_.Cut();
}

void SequenceText::PlaceSearched(const ReplyPiece& piece) {
  if (searched_ != piece.place) PlaceHeld();
  searched_ = piece.place;
  if (!may_stop_) return writer_.Place(piece.place, piece.text, piece.text);
  const std::string certain = stop_.Append(piece.text);
  writer_.Place(piece.place, certain, certain);
  if (!stop_.matched()) return;
  stopped_by_ = stop_.match();
  writer_.Cut();
}

// A stop string does not reach across a marker, but it may be the marker.
void SequenceText::PlaceMarker(const ReplyPiece& piece) {
  if (!may_stop_ || std::ranges::find(options_.stop, piece.text) == options_.stop.end()) {
    return writer_.Place(piece.place, piece.text, "");
  }
  if (options_.include_stop) {
    const bool ends_reasoning = piece.text == think_end_;
    writer_.Place(ends_reasoning ? ReplyPlace::kReasoning : ReplyPlace::kContent, piece.text, piece.text);
  }
  stopped_by_ = piece.text;
  writer_.Cut();
}

void SequenceText::PlaceHeld() {
  const std::string held = stop_.Flush();
  writer_.Place(searched_, held, held);
}

}  // namespace deeprack::coordinator
