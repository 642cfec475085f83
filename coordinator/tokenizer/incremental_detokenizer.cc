#include "coordinator/tokenizer/tokenizer.h"
#include "coordinator/tokenizer/utf8.h"

namespace deeprack::coordinator {

std::string IncrementalDetokenizer::Append(TokenId id) {
  pending_.append(tokenizer_->TokenBytes(id, show_special_));
  size_t certain = 0;
  while (certain < pending_.size()) {
    const Utf8Step step = ReadUtf8(std::string_view(pending_).substr(certain));
    if (step.kind == Utf8Kind::kIncomplete) break;
    certain += step.length;
  }
  std::string text;
  AppendUtf8Lossy(std::string_view(pending_).substr(0, certain), &text);
  pending_.erase(0, certain);
  return text;
}

std::string IncrementalDetokenizer::Finish() {
  std::string text;
  AppendUtf8Lossy(pending_, &text);
  pending_.clear();
  return text;
}

}  // namespace deeprack::coordinator
