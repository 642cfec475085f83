#include "coordinator/blocks/block_pool.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace deeprack::coordinator {

BlockPool::BlockPool(int32_t num_blocks) : blocks_(num_blocks) {
  free_.reserve(num_blocks);
  for (BlockId block = num_blocks - 1; block >= 0; --block) free_.push_back(block);
}

BlockPool::Key BlockPool::MakeKey(const std::string& salt, ContentId parent,
                                  absl::Span<const TokenId> tokens) {
  DR_CHECK(tokens.size() == kPageTokens);
  Key key;
  key.parent = parent;
  if (parent == kRootContent) key.salt = salt;
  std::copy(tokens.begin(), tokens.end(), key.tokens.begin());
  return key;
}

std::vector<BlockPool::Page> BlockPool::Lookup(const std::string& salt,
                                               absl::Span<const TokenId> tokens) const {
  Prefix prefix;
  Update(salt, tokens, prefix);
  return std::move(prefix.pages);
}

void BlockPool::Update(const std::string& salt, absl::Span<const TokenId> tokens, Prefix& prefix) const {
  if (prefix.published == published_ && prefix.dropped == dropped_) return;
  std::vector<Page>& pages = prefix.pages;
  if (prefix.dropped != dropped_) {
    // A content has one number for ever, so a block with the same number has the same content.
    const auto known = [this](const Page& page) { return blocks_[page.block].content == page.content; };
    pages.erase(std::find_if_not(pages.begin(), pages.end(), known), pages.end());
  }
  ContentId parent = pages.empty() ? kRootContent : pages.back().content;
  tokens.remove_prefix(pages.size() * kPageTokens);
  for (; tokens.size() >= kPageTokens; tokens.remove_prefix(kPageTokens)) {
    ++prefix.pages_hashed;
    const auto found = known_.find(MakeKey(salt, parent, tokens.first(kPageTokens)));
    if (found == known_.end()) break;
    parent = blocks_[found->second].content;
    pages.push_back({found->second, parent});
  }
  prefix.published = published_;
  prefix.dropped = dropped_;
}

std::optional<BlockId> BlockPool::Allocate() {
  BlockId id = -1;
  if (!free_.empty()) {
    id = free_.back();
    free_.pop_back();
  } else if (!cached_.empty()) {
    id = cached_.front();
    cached_.pop_front();
    known_.erase(blocks_[id].key);
    blocks_[id].content = kRootContent;
    ++dropped_;
  } else {
    return std::nullopt;
  }
  DR_CHECK(blocks_[id].references == 0 && blocks_[id].content == kRootContent);
  blocks_[id].references = 1;
  return id;
}

void BlockPool::Reference(BlockId id) {
  Block& block = blocks_[id];
  if (block.references == 0) {
    DR_CHECK(block.content != kRootContent);  // a free block has no content to share
    cached_.erase(block.in_cached);
  }
  ++block.references;
}

void BlockPool::Release(BlockId id) {
  Block& block = blocks_[id];
  DR_CHECK(block.references > 0);
  if (--block.references > 0) return;
  if (block.content == kRootContent) {
    free_.push_back(id);
  } else {
    block.in_cached = cached_.insert(cached_.end(), id);
  }
}

BlockPool::Page BlockPool::Publish(BlockId id, const std::string& salt, ContentId parent,
                                   absl::Span<const TokenId> tokens) {
  Block& block = blocks_[id];
  DR_CHECK(block.references > 0 && block.content == kRootContent);
  Key key = MakeKey(salt, parent, tokens);
  const auto [entry, inserted] = known_.try_emplace(key, id);
  if (!inserted) {
    const BlockId known = entry->second;
    Reference(known);
    Release(id);
    return {known, blocks_[known].content};
  }
  block.key = std::move(key);
  block.content = next_content_++;
  ++published_;
  return {id, block.content};
}

void BlockPool::Forget(BlockId id) {
  Block& block = blocks_[id];
  DR_CHECK(block.references > 0);
  if (block.content == kRootContent) return;
  known_.erase(block.key);
  block.content = kRootContent;
  ++dropped_;
}

void BlockPool::ForgetKnown(const std::string& salt, absl::Span<const TokenId> tokens) {
  for (const Page& page : Lookup(salt, tokens)) {
    Block& block = blocks_[page.block];
    known_.erase(block.key);
    block.content = kRootContent;
    ++dropped_;
    if (block.references > 0) continue;
    cached_.erase(block.in_cached);
    free_.push_back(page.block);
  }
}

}  // namespace deeprack::coordinator
