// The blocks with one sequence's KV, in the order of positions: the sequence's references in the pool. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "base/ids.h"
#include "coordinator/blocks/block_pool.h"

namespace deeprack::coordinator {

// The number of blocks for `positions`.
constexpr int32_t BlocksFor(int64_t positions) {
  return static_cast<int32_t>((positions + kPageTokens - 1) / kPageTokens);
}

class BlockTable {
 public:
  BlockTable() = default;
  // The pool outlives the table. `salt`: the sequence's cache_salt.
  BlockTable(BlockPool* pool, std::string salt) : pool_(pool), salt_(std::move(salt)) {}
  BlockTable(BlockTable&& other) noexcept { *this = std::move(other); }
  BlockTable& operator=(BlockTable&& other) noexcept;
  ~BlockTable() { Clear(); }

  // Takes references to cached pages, as the table's first blocks. The table must be empty.
  void Adopt(absl::Span<const BlockPool::Page> pages);

  // Makes room for positions [0, positions). False, and nothing changed, when the pool cannot give enough.
  bool Reserve(int64_t positions);

  // Publishes the pages that have become full. A page whose content another page has already is replaced by
  // that page. `history`: the tokens of all computed positions.
  void Publish(absl::Span<const TokenId> history);

  // Later sequences find none of this table's pages by content, nor pages after them. Call Clear next.
  void Forget();

  // Gives every block back.
  void Clear();

  const std::vector<BlockId>& blocks() const { return blocks_; }

  // The first entry that has changed since Told; blocks().size(): none.
  int32_t first_changed() const { return std::min(first_changed_, static_cast<int32_t>(blocks_.size())); }
  // Entries [first_changed(), told()) replace entries that the ranks know; those from told() on are new to
  // them.
  int32_t told() const { return told_; }
  // The ranks know the table as it is now.
  void Told() { first_changed_ = told_ = static_cast<int32_t>(blocks_.size()); }

 private:
  BlockPool* pool_ = nullptr;
  std::string salt_;
  std::vector<BlockId> blocks_;
  int32_t first_changed_ = 0;
  int32_t told_ = 0;
  int32_t published_ = 0;                  // blocks_[0, published_) are known to the pool by content
  ContentId last_content_ = kRootContent;  // of blocks_[published_ - 1]
};

}  // namespace deeprack::coordinator
