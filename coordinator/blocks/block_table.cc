#include "coordinator/blocks/block_table.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace deeprack::coordinator {

BlockTable& BlockTable::operator=(BlockTable&& other) noexcept {
  if (this == &other) return *this;
  Clear();
  pool_ = other.pool_;
  salt_ = std::move(other.salt_);
  blocks_ = std::exchange(other.blocks_, {});
  first_changed_ = std::exchange(other.first_changed_, 0);
  told_ = std::exchange(other.told_, 0);
  published_ = std::exchange(other.published_, 0);
  last_content_ = std::exchange(other.last_content_, kRootContent);
  return *this;
}

void BlockTable::Adopt(absl::Span<const BlockPool::Page> pages) {
  DR_CHECK(blocks_.empty());
  for (const BlockPool::Page& page : pages) {
    pool_->Reference(page.block);
    blocks_.push_back(page.block);
    last_content_ = page.content;
  }
  published_ = static_cast<int32_t>(pages.size());
}

bool BlockTable::Reserve(int64_t positions) {
  const size_t wanted = BlocksFor(positions);
  if (wanted <= blocks_.size()) return true;
  if (static_cast<size_t>(pool_->available()) < wanted - blocks_.size()) return false;
  while (blocks_.size() < wanted) blocks_.push_back(pool_->Allocate().value());
  return true;
}

void BlockTable::Publish(absl::Span<const TokenId> history) {
  const size_t full = history.size() / kPageTokens;
  DR_CHECK(full <= blocks_.size());
  for (; static_cast<size_t>(published_) < full; ++published_) {
    const auto tokens = history.subspan(size_t{kPageTokens} * published_, kPageTokens);
    const BlockPool::Page page = pool_->Publish(blocks_[published_], salt_, last_content_, tokens);
    if (page.block != blocks_[published_]) first_changed_ = std::min(first_changed_, published_);
    blocks_[published_] = page.block;
    last_content_ = page.content;
  }
}

void BlockTable::Forget() {
  for (int32_t i = 0; i < published_; ++i) pool_->Forget(blocks_[i]);
}

void BlockTable::Clear() {
  for (; !blocks_.empty(); blocks_.pop_back()) pool_->Release(blocks_.back());
  first_changed_ = told_ = 0;
  published_ = 0;
  last_content_ = kRootContent;
}

}  // namespace deeprack::coordinator
