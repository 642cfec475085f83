#include "kernels/cuda/sm90/mla.h"

#include <algorithm>

#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {
namespace {

constexpr int64_t kWidth = kLatent + kRope;
constexpr int64_t kNope = 8;  // what lies before each head's rope values; NaN here
constexpr float kScale = 0.07f;
constexpr int kGrid = 3;
constexpr double kTolerance = 8e-3;

// A cache of NaN with some sequences in it, in pages in any order, and queries for them.
class Scene {
 public:
  Scene(int64_t heads, int64_t pages, int64_t rows, Random& random)
      : heads_(heads),
        cache_(pages * kPageTokens * kWidth, bf16{0xffff}),
        latent_(NormalBF16(rows * heads * kLatent, random, 0.3f)),
        rope_(NormalBF16(rows * heads * (kNope + kRope), random, 0.3f)),
        random_(random) {
    for (size_t i = 0; i < rope_.size(); ++i) {
      if (static_cast<int64_t>(i) % (kNope + kRope) < kNope) rope_[i].bits = 0xffff;
    }
    for (BlockId page = 0; page < pages; ++page) free_.push_back(page);
    std::shuffle(free_.begin(), free_.end(), random);
  }

  // A sequence of so many tokens; its table ends in ids that do not exist.
  std::vector<BlockId> Add(int64_t tokens) {
    std::vector<BlockId> table;
    for (int64_t t = 0; t < tokens; t += kPageTokens) {
      table.push_back(free_.back());
      free_.pop_back();
    }
    for (int64_t t = 0; t < tokens; ++t) {
      const std::vector<bf16> entry = NormalBF16(kWidth, random_);
      std::copy(entry.begin(), entry.end(), cache_.begin() + Slot(table, t) * kWidth);
    }
    table.push_back(1 << 20);
    return table;
  }

  struct Chunk {
    const std::vector<BlockId>* table;
    int32_t rows, first_position, first_query;  // of this scene's queries
  };

  // The chunks as one batch; [row][heads * 512].
  template <class T>
  std::vector<T> Run(const std::vector<Chunk>& chunks, int64_t shares = kMlaShares) const {
    std::vector<BlockId> tables;
    std::vector<size_t> begins;
    for (const Chunk& chunk : chunks) {
      begins.push_back(tables.size());
      tables.insert(tables.end(), chunk.table->begin(), chunk.table->end());
    }
    const CardArray<BlockId> card_tables(tables);
    std::vector<AttentionSequence> sequences;
    std::vector<bf16> latent, rope;
    int32_t row = 0;
    for (size_t i = 0; i < chunks.size(); ++i) {
      sequences.push_back({row, chunks[i].rows, chunks[i].first_position, card_tables.data() + begins[i]});
      row += chunks[i].rows;
      const auto take = [&](const std::vector<bf16>& from, int64_t width, std::vector<bf16>& to) {
        to.insert(to.end(), from.begin() + chunks[i].first_query * width,
                  from.begin() + (chunks[i].first_query + chunks[i].rows) * width);
      };
      take(latent_, heads_ * kLatent, latent);
      take(rope_, heads_ * (kNope + kRope), rope);
    }
    const MlaPlan plan = PlanMla(heads_, sequences.data(), static_cast<int64_t>(sequences.size()), shares);
    const int64_t columns = plan.tile.columns();
    const CardArray<MlaItem> items(plan.items, plan.items.size() + 2);
    const CardArray<MlaMerge> merges(plan.merges, plan.merges.size() + 2);
    const CardArray<int32_t> counts(std::vector<int32_t>{static_cast<int32_t>(plan.items.size()),
                                                         static_cast<int32_t>(plan.merges.size())});
    const CardArray<float> sums(static_cast<size_t>(MlaPartialFloats(plan.partials, columns)));
    const CardArray<float> stats(static_cast<size_t>(MlaStatFloats(plan.partials, columns)));
    const CardArray<float> scratch(static_cast<size_t>(MlaScratchFloats(kGrid, columns)));
    const CardArray<bf16> card_latent(latent), card_rope(rope), card_cache(cache_);
    const int64_t stride = heads_ * kLatent;
    const CardArray<T> out(static_cast<size_t>(row * stride));
    Mla({.q_latent = {card_latent.data(), DType::kBF16, row, stride, stride},
         .q_rope = {card_rope.data(), DType::kBF16, row, heads_ * (kNope + kRope), heads_ * (kNope + kRope)},
         .q_rope_head_stride = kNope + kRope,
         .q_rope_offset = kNope,
         .heads = heads_,
         .scale = kScale,
         .cache = card_cache.data(),
         .cache_tokens = static_cast<int64_t>(cache_.size()) / kWidth,
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
         .blocks = kGrid},
        {});
    CardWait();
    return out.Read();
  }

  std::vector<double> Expected(const Chunk& chunk, int64_t row, int64_t head) const {
    const int64_t query = chunk.first_query + row, visible = chunk.first_position + row + 1;
    const bf16* latent = latent_.data() + (query * heads_ + head) * kLatent;
    const bf16* rope = rope_.data() + (query * heads_ + head) * (kNope + kRope) + kNope;
    const auto value = [](bf16 b) { return static_cast<double>(ToFloat(b)); };
    std::vector<double> weights;
    for (int64_t t = 0; t < visible; ++t) {
      const bf16* entry = cache_.data() + Slot(*chunk.table, t) * kWidth;
      double score = 0;
      for (int64_t c = 0; c < kLatent; ++c) score += value(latent[c]) * value(entry[c]);
      for (int64_t c = 0; c < kRope; ++c) score += value(rope[c]) * value(entry[kLatent + c]);
      weights.push_back(score * static_cast<double>(kScale));
    }
    const double largest = *std::max_element(weights.begin(), weights.end());
    double total = 0;
    for (double& weight : weights) total += weight = std::exp(weight - largest);
    std::vector<double> out(kLatent);
    for (int64_t t = 0; t < visible; ++t) {
      const bf16* entry = cache_.data() + Slot(*chunk.table, t) * kWidth;
      for (int64_t c = 0; c < kLatent; ++c) out[c] += weights[t] / total * value(entry[c]);
    }
    return out;
  }

  template <class T>
  void ExpectRight(const std::vector<T>& out, const std::vector<Chunk>& chunks) const {
    int64_t row = 0;
    for (const Chunk& chunk : chunks) {
      for (int64_t r = 0; r < chunk.rows; ++r, ++row) {
        for (int64_t h = 0; h < heads_; h += 1 + h % 3) {
          SCOPED_TRACE(testing::Message() << heads_ << " heads, row " << row << " head " << h);
          ExpectRow(out.data() + (row * heads_ + h) * kLatent, Expected(chunk, r, h), kTolerance);
        }
      }
    }
  }

 private:
  static int64_t Slot(const std::vector<BlockId>& table, int64_t position) {
    return int64_t{table[position / kPageTokens]} * kPageTokens + position % kPageTokens;
  }
  int64_t heads_;
  std::vector<bf16> cache_, latent_, rope_;
  std::vector<BlockId> free_;
  Random& random_;
};

TEST(MlaTest, DecodesAgreeWithReference) {
  Random random(1);
  for (int64_t heads : {8, 16, 128}) {
    Scene scene(heads, 6, 3, random);
    const std::vector<BlockId> a = scene.Add(70), b = scene.Add(1), c = scene.Add(128);
    const std::vector<Scene::Chunk> chunks = {{&a, 1, 69, 0}, {&b, 1, 0, 1}, {&c, 1, 127, 2}};
    scene.ExpectRight(scene.Run<float>(chunks), chunks);
    scene.ExpectRight(scene.Run<bf16>(chunks), chunks);
  }
}

TEST(MlaTest, ChunksSeeTheirOwnPast) {
  Random random(2);
  for (int64_t heads : {16, 32}) {
    Scene scene(heads, 6, 12, random);
    const std::vector<BlockId> a = scene.Add(68), b = scene.Add(6);
    // Seven tokens across a page's end, a whole short prompt of five, and room behind them that is not seen.
    const std::vector<Scene::Chunk> chunks = {{&a, 7, 60, 0}, {&b, 5, 0, 7}};
    scene.ExpectRight(scene.Run<float>(chunks), chunks);
  }
}

TEST(MlaTest, PartsAreMerged) {
  Random random(3);
  Scene scene(16, 30, 6, random);
  const std::vector<BlockId> a = scene.Add(515), b = scene.Add(1040);
  // 9 pages: two parts, the second of few tokens; tokens before and behind the border of the second part
  // share a tile.
  const std::vector<Scene::Chunk> chunks = {{&a, 4, 510, 0}, {&b, 2, 1038, 4}};
  const std::vector<float> out = scene.Run<float>(chunks);
  scene.ExpectRight(out, chunks);
  EXPECT_EQ(scene.Run<float>(chunks), out);
  // One block walks all parts of its tile: no share is too large.
  EXPECT_EQ(scene.Run<float>(chunks, 1), out);
}

TEST(MlaTest, AQueryIsTheSameAloneAndInAnyBatch) {
  Random random(4);
  const int64_t heads = 16, row_size = heads * kLatent;
  Scene scene(heads, 24, 8, random);
  const std::vector<BlockId> a = scene.Add(516), b = scene.Add(90);
  const std::vector<float> together = scene.Run<float>({{&b, 3, 80, 5}, {&a, 5, 509, 0}});
  for (int32_t r = 0; r < 5; ++r) {
    const std::vector<float> alone = scene.Run<float>({{&a, 1, 509 + r, r}});
    for (int64_t i = 0; i < row_size; ++i)
      ASSERT_EQ(alone[i], together[(3 + r) * row_size + i]) << "row " << r << " " << i;
  }
  const std::vector<float> pair = scene.Run<float>({{&a, 2, 511, 2}});
  for (int64_t i = 0; i < 2 * row_size; ++i) ASSERT_EQ(pair[i], together[5 * row_size + i]);
}

}  // namespace
}  // namespace deeprack::kernels::sm90
