// The division of a matrix product into units of work: pure functions of the shape, for host and card.
//
// Rows of W are the M side of the instructions and rows of x (tokens) the N side, for any number of tokens.
// So one instruction shape and one order of sums serves decode and prefill, and a token's result does not
// depend on the number of tokens. A unit is 128 rows of W times `tokens` tokens over one part of K.
#pragma once

#include <cstdint>
#include <string>

namespace deeprack::kernels::sm90 {

// K is cut into `splits` parts whose sums are added in order. n and k alone decide the number of parts. In
// tiles of up to 64 tokens, different blocks sum the parts and the last block to finish adds them. In tiles
// of 128 tokens, one block sums the parts one after the other.
struct GemmConfig {
  int tokens = 8;  // tokens of a tile: 8, 16, 32, 64 or 128
  int splits = 1;
  bool parallel = false;  // the parts are units of their own
  std::string ToString() const;
};

// The multiprocessors of an H100 or H200 SXM. Splits are chosen for this number on every card.
inline constexpr int kStreamingMultiprocessors = 132;
inline constexpr int kMaxSplits = 16;
inline constexpr int kMaxGroups = 512;

// The number of parts of K for a weight of groups x [n, k]: the fewest that come within a twentieth of the
// best time, counting waves of 128-row tiles and the cost of adding parts.
int ChooseSplits(int64_t groups, int64_t n, int64_t k);
// rows_per_group: the expected tokens of a group (dense: of the product).
GemmConfig ChooseGemm(int64_t groups, int64_t n, int64_t k, int64_t rows_per_group);

// Bytes of the two workspaces of a product with parallel parts: partial sums and arrival counters. The
// counters are zero before the first product and after each product.
int64_t PartialBytes(const GemmConfig& config, int64_t n, int64_t rows);
int64_t ArrivalBytes(const GemmConfig& config, int64_t n, int64_t rows);

// Blocks of K of part `split`: [begin, end).
struct BlockRange {
  int begin, end;
};
constexpr BlockRange SplitRange(int k_blocks, int splits, int split) {
  return {k_blocks * split / splits, k_blocks * (split + 1) / splits};
}

struct GemmUnit {
  int group, feature_tile, split, token_tile;
  int token_tiles;  // token tiles of the group
};

// Finds units by number. Numbers ascend by group; within a group, the token tiles of the same weights are
// neighbours, so that blocks that run at the same time share the weights in the L2.
class GemmWalk {
 public:
  constexpr GemmWalk(int groups, int feature_tiles, int splits, int tokens)
      : groups_(groups), feature_tiles_(feature_tiles), splits_(splits), tokens_(tokens) {}

  // Finds unit `number`, which must not be smaller than in the call before. rows_of(g) is the tokens of group
  // g. Returns false past the last unit.
  template <class RowsOf>
  constexpr bool Find(int64_t number, const RowsOf& rows_of, GemmUnit& unit) {
    for (; group_ < groups_; ++group_) {
      const int tiles = (rows_of(group_) + tokens_ - 1) / tokens_;
      const int64_t units = int64_t{feature_tiles_} * splits_ * tiles;
      if (number < before_ + units) {
        const int inside = static_cast<int>(number - before_);
        unit = {group_, inside / tiles / splits_, inside / tiles % splits_, inside % tiles, tiles};
        return true;
      }
      before_ += units;
    }
    return false;
  }

 private:
  int groups_, feature_tiles_, splits_, tokens_;
  int group_ = 0;
  int64_t before_ = 0;  // units of the groups before group_
};

}  // namespace deeprack::kernels::sm90
