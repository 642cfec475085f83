#include "coordinator/chat/reasoning_splitter.h"

namespace deeprack::coordinator {

void ReasoningSplitter::OnToken(TokenId id) {
  if (IsTag(id)) {
    in_reasoning_ = id == think_begin_;
    skip_newlines_ = true;
    held_newlines_ = 0;
  }
  at_start_ = false;
}

std::string ReasoningSplitter::Filter(std::string_view text) {
  if (skip_newlines_) {
    const size_t begin = text.find_first_not_of('\n');
    if (begin == text.npos) return "";
    text.remove_prefix(begin);
    skip_newlines_ = false;
  }
  if (!in_reasoning_) return std::string(text);
  const size_t last = text.find_last_not_of('\n');
  if (last == text.npos) {
    held_newlines_ += text.size();
    return "";
  }
  std::string out(held_newlines_, '\n');
  out.append(text.substr(0, last + 1));
  held_newlines_ = text.size() - last - 1;
  return out;
}

}  // namespace deeprack::coordinator
