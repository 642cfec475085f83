#include "coordinator/tokenizer/bpe.h"

#include <algorithm>

#include "base/check.h"

namespace deeprack::coordinator {
namespace {

// The order of a heap whose top is the next merge: the lowest rank, and among equal ranks the leftmost.
constexpr auto kAppliedLater = [](const auto& a, const auto& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.at > b.at;
};

}  // namespace

bool BytePairEncoder::AddMerge(TokenId left, TokenId right, TokenId merged, int32_t rank) {
  return merges_.try_emplace(PairKey(left, right), Merge{rank, merged}).second;
}

// Puts the merge of the symbol at `left` and the next symbol on the heap, if the vocabulary has that merge.
void BytePairEncoder::Offer(int32_t left, Workspace* workspace) const {
  const Workspace::Symbol& symbol = workspace->symbols_[left];
  if (symbol.next < 0) return;
  const auto merge = merges_.find(PairKey(symbol.token, workspace->symbols_[symbol.next].token));
  if (merge == merges_.end()) return;
  workspace->heap_.push_back({merge->second.rank, left, merge->second.merged});
  std::push_heap(workspace->heap_.begin(), workspace->heap_.end(), kAppliedLater);
}

void BytePairEncoder::Encode(std::string_view word, Workspace* workspace,
                             std::vector<TokenId>* tokens) const {
  if (word.empty()) return;
  if (!whole_words_.empty()) {
    if (const auto whole = whole_words_.find(absl::string_view(word.data(), word.size()));
        whole != whole_words_.end()) {
      tokens->push_back(whole->second);
      return;
    }
  }
  auto& symbols = workspace->symbols_;
  auto& heap = workspace->heap_;
  const int32_t length = static_cast<int32_t>(word.size());
  symbols.clear();
  heap.clear();
  for (int32_t i = 0; i < length; ++i) {
    const TokenId token = byte_tokens_[static_cast<uint8_t>(word[i])];
    DR_CHECK(token >= 0);
    symbols.push_back({token, i - 1, i + 1 < length ? i + 1 : -1});
  }
  for (int32_t i = 0; i + 1 < length; ++i) Offer(i, workspace);

  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), kAppliedLater);
    const Workspace::Candidate best = heap.back();
    heap.pop_back();
    Workspace::Symbol& left = symbols[best.at];
    if (left.token < 0 || left.next < 0) continue;
    // A symbol of the pair may have merged with its other neighbour after the candidate was offered.
    const auto merge = merges_.find(PairKey(left.token, symbols[left.next].token));
    if (merge == merges_.end() || merge->second.merged != best.merged) continue;

    Workspace::Symbol& right = symbols[left.next];
    left.token = best.merged;
    left.next = right.next;
    right.token = -1;
    if (left.next >= 0) symbols[left.next].previous = best.at;
    if (left.previous >= 0) Offer(left.previous, workspace);
    Offer(best.at, workspace);
  }
  for (int32_t i = 0; i >= 0; i = symbols[i].next) tokens->push_back(symbols[i].token);
}

}  // namespace deeprack::coordinator
