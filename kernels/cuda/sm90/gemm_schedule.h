// How a matrix product is cut into units of work: pure functions of its shape, the same on the host and on
// the card.
//
// W's rows are the M side of the instructions and x's rows (tokens) the N side, whatever the number of
// tokens: so one instruction shape, and one order of sums, serves decode and prefill, and a token's result
// does not depend on how many there are. A unit is 128 rows of W times `tokens` tokens over one part of K.
#pragma once

#include <cstdint>
#include <string>

namespace deeprack::kernels::sm90 {

// K is cut into `splits` parts whose sums are added in order. The number of parts depends on n and k alone.
// Up to 64 tokens a tile, different blocks sum the parts and the last to finish adds them; with 128 one block
// sums one part after the other.
struct GemmConfig {
  int tokens = 8;  // in a tile: 8, 16, 32, 64 or 128
  int splits = 1;
  bool parallel = false;  // the parts are units of their own
  std::string ToString() const;
};

inline constexpr int kStreamingMultiprocessors =
    132;  // of an H100 or H200 SXM: what the splits are chosen for, on any card
inline constexpr int kMaxSplits = 16;
inline constexpr int kMaxGroups = 512;

// The number of parts of K for a weight of groups x [n, k]: the fewest that come within a twentieth of the
// best time, counting waves of 128-row tiles and the cost of adding parts.
int ChooseSplits(int64_t groups, int64_t n, int64_t k);
// rows_per_group: tokens that a group is expected to have (dense: all of them).
GemmConfig ChooseGemm(int64_t groups, int64_t n, int64_t k, int64_t rows_per_group);

// Bytes of the two workspaces of a product with parallel parts: partial sums, and arrival counters, which
// must be zero before the first use and are zero after each.
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
  int token_tiles;  // of the group
};

// Finds units by number, ascending: groups one after the other, and inside a group all token tiles of the
// same weights are neighbours, so that blocks running at the same time share them in the L2.
class GemmWalk {
 public:
  constexpr GemmWalk(int groups, int feature_tiles, int splits, int tokens)
      : groups_(groups), feature_tiles_(feature_tiles), splits_(splits), tokens_(tokens) {}

  // Unit `number`, which must not be smaller than in the call before. rows_of(g): the tokens of group g.
  // False: past the last.
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
