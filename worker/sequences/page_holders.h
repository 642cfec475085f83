// Which KV pages of a rank are in block tables. A page that a sequence may still write is in that sequence's
// table only. A page whose positions are all computed may be in any number of tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/ids.h"

namespace deeprack::worker {

class PageHolders {
 public:
  explicit PageHolders(int64_t pages) : holders_(static_cast<size_t>(pages), 0) {}

  int64_t pages() const { return static_cast<int64_t>(holders_.size()); }

  // False, and nothing has changed: the page is in another place of a block table, so a sequence must not
  // write it; or a sequence may write it, so no other sequence may read it. `page` is in [0, pages()).
  bool AddWriter(BlockId page);
  bool AddReader(BlockId page);
  void RemoveWriter(BlockId page);
  void RemoveReader(BlockId page);
  // The writer has computed all positions of the page, and reads it from now on.
  void WriterBecomesReader(BlockId page);

 private:
  static constexpr int32_t kWritten = -1;

  std::vector<int32_t> holders_;  // [pages]: the number of readers, or kWritten
};

}  // namespace deeprack::worker
