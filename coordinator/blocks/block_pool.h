// The KV pages of one dp group, as numbers: their holders, their contents, and the order in which they are
// given out. Pure.
//
// A block is free (without content), held (one or more references), or cached: without references, but a full
// page of known content that a later sequence with the same history can use again. Cached blocks are given
// out when no free block is left, the least recently used first.
//
// Content is compared exactly, never by hash alone: a page is identified by its own kPageTokens tokens and by
// the identity of the page before it (the salt, for the first page). Identities are numbers that are never
// used twice.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "base/ids.h"

namespace deeprack::coordinator {

// Identity of a page's content together with the content of all pages before it. kRootContent stands before
// the first page.
using ContentId = uint64_t;
inline constexpr ContentId kRootContent = 0;

class BlockPool {
 public:
  explicit BlockPool(int32_t num_blocks);

  struct Page {
    BlockId block = -1;
    ContentId content = kRootContent;
  };

  // The result of a lookup, with what the next lookup of the same tokens needs to be short.
  struct Prefix {
    std::vector<Page> pages;
    int64_t pages_hashed = 0;  // in all lookups

   private:
    friend class BlockPool;
    // The pool's counts at the last lookup. No pool counts as far as these first values.
    uint64_t published = UINT64_MAX;
    uint64_t dropped = UINT64_MAX;
  };

  // The longest run of known pages at the start of `tokens`. Takes no references; blocks stay valid until the
  // next Allocate, so Reference them first.
  std::vector<Page> Lookup(const std::string& salt, absl::Span<const TokenId> tokens) const;

  // Brings `prefix` up to date: prefix.pages is then what Lookup returns. All updates of one prefix have the
  // same pool, salt and tokens. The first update hashes each page of the result and one page more. A later
  // update keeps the pages of `prefix` that the pool still knows, and hashes the pages after them. If no page
  // of the pool has become known or unknown since, the update hashes nothing.
  void Update(const std::string& salt, absl::Span<const TokenId> tokens, Prefix& prefix) const;

  // A block of no particular content with one reference; nullopt when every block is held.
  std::optional<BlockId> Allocate();

  // One more holder of a held or cached block.
  void Reference(BlockId block);

  // One holder less. Drop a chain of pages from its last page on: then a page is never given away before the
  // pages that can only be found through it.
  void Release(BlockId block);

  // Records the content of a held block: `tokens` (exactly kPageTokens) after the content `parent`. When
  // another block already has the same content, the caller's reference moves to that block. Use the returned
  // page from here on.
  Page Publish(BlockId block, const std::string& salt, ContentId parent, absl::Span<const TokenId> tokens);

  // A held block's content is not to be used again. Its holders keep the block; no later sequence finds the
  // block, nor the pages after it.
  void Forget(BlockId block);

  // Does so with all known pages at the start of `tokens`, also those without a holder.
  void ForgetKnown(const std::string& salt, absl::Span<const TokenId> tokens);

  int32_t size() const { return static_cast<int32_t>(blocks_.size()); }
  // Blocks that Allocate can still give: free and cached ones.
  int32_t available() const { return static_cast<int32_t>(free_.size() + cached_.size()); }
  int32_t held() const { return size() - available(); }
  int32_t references(BlockId block) const { return blocks_[block].references; }

 private:
  struct Key {
    ContentId parent = kRootContent;
    std::string salt;  // empty unless parent is the root
    std::array<TokenId, kPageTokens> tokens{};

    bool operator==(const Key&) const = default;
    template <class H>
    friend H AbslHashValue(H state, const Key& key) {
      return H::combine(std::move(state), key.parent, key.salt, key.tokens);
    }
  };
  struct Block {
    int32_t references = 0;
    ContentId content = kRootContent;        // kRootContent: not published
    Key key;                                 // if published
    std::list<BlockId>::iterator in_cached;  // if cached
  };

  static Key MakeKey(const std::string& salt, ContentId parent, absl::Span<const TokenId> tokens);

  std::vector<Block> blocks_;
  std::vector<BlockId> free_;  // a stack
  std::list<BlockId> cached_;  // the least recently used first
  absl::flat_hash_map<Key, BlockId> known_;
  ContentId next_content_ = kRootContent + 1;
  uint64_t published_ = 0;  // times that a page became known
  uint64_t dropped_ = 0;    // times that a known page became unknown
};

}  // namespace deeprack::coordinator
