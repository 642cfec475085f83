// The KV cache of one pipeline stage: numbered pages of kPageTokens tokens in each of its layers. The
// coordinator gives pages to sequences; block tables name them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "sizing/rank_spec.h"
#include "worker/device/arena.h"

namespace deeprack::worker {

class KvCache {
 public:
  // `blocks` pages of the rank: blocks * sizing::KvPageBytes bytes of the device's memory.
  static absl::StatusOr<KvCache> Create(Device& device, const sizing::RankSpec& spec, int64_t blocks);

  // The pages of one layer, counted from the stage's first; the MTP layer comes after the stage's last: [blocks * kPageTokens, sizing::KvEntryElements],
  // or [blocks] of Fp8KvPage.
  void* layer(int64_t stage_layer) const { return base_ + stage_layer * layer_bytes_; }
  DType type() const { return type_; }
  int64_t blocks() const { return blocks_; }
  int64_t bytes() const { return arena_.capacity(); }

 private:
  KvCache(Arena arena, std::byte* base, DType type, int64_t blocks, int64_t layer_bytes);

  Arena arena_;
  std::byte* base_;
  DType type_;
  int64_t blocks_;
  int64_t layer_bytes_;
};

}  // namespace deeprack::worker
