// Sequences in a cache, with pages in any order, and batches of their queries. Shared by the tests of latent
// attention over bf16 and fp8 caches.
#pragma once

#include <algorithm>

#include "kernels/cuda/sm90/mla.h"
#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {

class MlaScene {
 public:
  static constexpr float kScale = 0.07f;

  virtual ~MlaScene() = default;

  // Adds a sequence of `tokens` tokens. Its block table ends in ids that do not exist.
  std::vector<BlockId> Add(int64_t tokens) {
    std::vector<BlockId> table;
    for (int64_t t = 0; t < tokens; t += kPageTokens) {
      table.push_back(free_.back());
      free_.pop_back();
    }
    for (int64_t t = 0; t < tokens; ++t) WriteEntry(SlotOf(table, t));
    table.push_back(1 << 20);
    return table;
  }

  struct Chunk {
    const std::vector<BlockId>* table;
    int32_t rows, first_position, first_query;  // of this scene's queries
  };

  // The chunks as one batch; [row][heads * 512].
  template <class T>
  std::vector<T> Run(const std::vector<Chunk>& chunks, int64_t shares = kMlaShares) {
    std::vector<BlockId> tables;
    std::vector<size_t> begins;
    std::vector<int64_t> queries;
    for (const Chunk& chunk : chunks) {
      begins.push_back(tables.size());
      tables.insert(tables.end(), chunk.table->begin(), chunk.table->end());
      for (int32_t r = 0; r < chunk.rows; ++r) queries.push_back(chunk.first_query + r);
    }
    const CardArray<BlockId> card_tables(tables);
    std::vector<AttentionSequence> sequences;
    int32_t row = 0;
    for (size_t i = 0; i < chunks.size(); row += chunks[i++].rows)
      sequences.push_back({row, chunks[i].rows, chunks[i].first_position, card_tables.data() + begins[i]});
    const MlaPlan plan = PlanMla(heads_, sequences.data(), static_cast<int64_t>(sequences.size()), shares);
    const int64_t columns = plan.tile.columns(), stride = heads_ * kLatent;
    const CardArray<MlaItem> items(plan.items, plan.items.size() + 2);
    const CardArray<MlaMerge> merges(plan.merges, plan.merges.size() + 2);
    const CardArray<int32_t> counts(std::vector<int32_t>{static_cast<int32_t>(plan.items.size()),
                                                         static_cast<int32_t>(plan.merges.size())});
    const CardArray<float> sums(static_cast<size_t>(MlaPartialFloats(plan.partials, columns)));
    const CardArray<float> stats(static_cast<size_t>(MlaStatFloats(plan.partials, columns)));
    const CardArray<float> scratch(static_cast<size_t>(MlaScratchFloats(kGrid, columns)));
    const CardArray<uint8_t> card_cache(cache_);
    const CardArray<T> out(static_cast<size_t>(row * stride));
    MlaArgs args = {.heads = heads_,
                    .scale = kScale,
                    .cache = card_cache.data(),
                    .cache_tokens = pages_ * kPageTokens,
                    .tile = plan.tile,
                    .items = items.data(),
                    .merges = merges.data(),
                    .counts = counts.data(),
                    .max_items = static_cast<int64_t>(plan.items.size()) + 2,
                    .max_merges = static_cast<int64_t>(plan.merges.size()) + 2,
                    .partial_sums = sums.data(),
                    .partial_stats = stats.data(),
                    .scratch = scratch.data(),
                    .out = {out.data(), sizeof(T) == 2 ? DType::kBF16 : DType::kF32, row, stride, stride},
                    .blocks = kGrid};
    SetQueries(queries, args);
    Mla(args, {});
    CardWait();
    return out.Read();
  }

  template <class T>
  void ExpectRight(const std::vector<T>& out, const std::vector<Chunk>& chunks) const {
    int64_t row = 0;
    for (const Chunk& chunk : chunks) {
      for (int64_t r = 0; r < chunk.rows; ++r, ++row) {
        for (int64_t h = 0; h < heads_; h += 1 + h % 3) {
          SCOPED_TRACE(testing::Message() << heads_ << " heads, row " << row << " head " << h);
          const T* const actual = out.data() + (row * heads_ + h) * kLatent;
          for (const Expectation& expected : Expected(chunk, r, h))
            ExpectRow(actual, expected.values, expected.tolerance);
        }
      }
    }
  }

 protected:
  struct Expectation {
    std::vector<double> values;
    double tolerance;
  };

  // A cache of NaN.
  MlaScene(int64_t heads, int64_t pages, int64_t page_bytes, Random& random)
      : heads_(heads), pages_(pages), cache_(static_cast<size_t>(pages * page_bytes), 0xff), random_(random) {
    for (BlockId page = 0; page < pages; ++page) free_.push_back(page);
    std::shuffle(free_.begin(), free_.end(), random);
  }

  static int64_t SlotOf(const std::vector<BlockId>& table, int64_t position) {
    return int64_t{table[position / kPageTokens]} * kPageTokens + position % kPageTokens;
  }

  // A random entry.
  virtual void WriteEntry(int64_t slot) = 0;
  // Copies these rows of the scene's queries to the card. The next call replaces them.
  virtual void SetQueries(const std::vector<int64_t>& rows, MlaArgs& args) = 0;
  // The expected result of one row and head, in fp64.
  virtual std::vector<Expectation> Expected(const Chunk& chunk, int64_t row, int64_t head) const = 0;

  // The given rows of values of `width` columns.
  template <class T>
  static std::vector<T> Take(const std::vector<T>& from, const std::vector<int64_t>& rows, int64_t width) {
    std::vector<T> taken;
    for (const int64_t row : rows)
      taken.insert(taken.end(), from.begin() + row * width, from.begin() + (row + 1) * width);
    return taken;
  }

  static constexpr int kGrid = 3;
  const int64_t heads_, pages_;
  std::vector<uint8_t> cache_;
  Random& random_;

 private:
  std::vector<BlockId> free_;
};

}  // namespace deeprack::kernels::sm90
