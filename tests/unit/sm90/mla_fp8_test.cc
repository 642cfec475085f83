// Attention over an fp8 cache, and the kernels that make its entries and queries.
#include <algorithm>

#include "kernels/cuda/sm90/isa/e4m3.h"
#include "kernels/cuda/sm90/mla.h"
#include "kernels/cuda/sm90/mla_prepare.h"
#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {
namespace {

constexpr float kScale = 0.07f;
constexpr int kGrid = 3;
constexpr double kBound = 0.15;  // as mla.h states it: P's rounding

double Value(bf16 v) { return static_cast<double>(ToFloat(v)); }
double Value(fp8_e4m3 v) { return static_cast<double>(ToFloat(v)); }

// scale * (512 e4m3, 64 bf16), as numbers.
std::vector<double> Values(const uint8_t* latent, const uint8_t* rope, float scale) {
  std::vector<double> values(kLatent + kRope);
  for (int64_t c = 0; c < kLatent; ++c) values[c] = Value(fp8_e4m3{latent[c]}) * static_cast<double>(scale);
  for (int64_t c = 0; c < kRope; ++c) {
    bf16 value;
    std::memcpy(&value, rope + 2 * c, 2);
    values[kLatent + c] = Value(value) * static_cast<double>(scale);
  }
  return values;
}

// Some such rows: values of about `deviation`, each at the scale of its own largest; one in nine small.
struct Entries {
  Entries(int64_t count, float deviation, Random& random)
      : latent(count * kLatent), rope(count * kRope), scales(count) {
    for (int64_t r = 0; r < count; ++r) {
      const std::vector<bf16> row =
          NormalBF16(kLatent + kRope, random, random() % 9 == 0 ? deviation / 64 : deviation);
      float largest = 0;
      for (int64_t c = 0; c < kLatent; ++c) largest = std::max(largest, std::abs(ToFloat(row[c])));
      const int exponent = ScaleExponent(largest);
      scales[r] = PowerOfTwo(exponent);
      for (int64_t c = 0; c < kLatent; ++c)
        latent[r * kLatent + c] = ToE4M3(ToFloat(row[c]) * PowerOfTwo(-exponent));
      for (int64_t c = 0; c < kRope; ++c)
        rope[r * kRope + c] = ToBF16(ToFloat(row[kLatent + c]) * PowerOfTwo(-exponent));
    }
  }
  std::vector<double> Row(int64_t r) const {
    return Values(&latent[r * kLatent].bits, reinterpret_cast<const uint8_t*>(&rope[r * kRope]), scales[r]);
  }
  std::vector<fp8_e4m3> latent;
  std::vector<bf16> rope;
  std::vector<float> scales;
};

// A cache of NaN with some sequences in it, in pages in any order, and queries for them.
class Scene {
 public:
  Scene(int64_t heads, int64_t pages, int64_t rows, Random& random)
      : heads_(heads),
        cache_(pages * kFp8PageBytes, 0xff),
        queries_(rows * heads, 0.3f, random),
        random_(random) {
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
    const Entries entries(tokens, 1.0f, random_);
    for (int64_t t = 0; t < tokens; ++t) {
      uint8_t* const page = cache_.data() + table[t / kPageTokens] * kFp8PageBytes;
      uint8_t* const entry = page + t % kPageTokens * kFp8EntryBytes;
      std::memcpy(entry, &entries.latent[t * kLatent], kLatent);
      std::memcpy(entry + kLatent, &entries.rope[t * kRope], kRope * 2);
      std::memcpy(page + kPageTokens * kFp8EntryBytes + t % kPageTokens * 4, &entries.scales[t], 4);
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
    std::vector<fp8_e4m3> latent;
    std::vector<bf16> rope;
    std::vector<float> scales;
    int32_t row = 0;
    for (size_t i = 0; i < chunks.size(); ++i) {
      sequences.push_back({row, chunks[i].rows, chunks[i].first_position, card_tables.data() + begins[i]});
      row += chunks[i].rows;
      const auto take = [&](const auto& from, int64_t width, auto& to) {
        to.insert(to.end(), from.begin() + chunks[i].first_query * width,
                  from.begin() + (chunks[i].first_query + chunks[i].rows) * width);
      };
      take(queries_.latent, heads_ * kLatent, latent);
      take(queries_.rope, heads_ * kRope, rope);
      take(queries_.scales, heads_, scales);
    }
    const MlaPlan plan = PlanMla(heads_, sequences.data(), static_cast<int64_t>(sequences.size()), shares);
    const int64_t columns = plan.tile.columns(), stride = heads_ * kLatent;
    const CardArray<MlaItem> items(plan.items, plan.items.size() + 2);
    const CardArray<MlaMerge> merges(plan.merges, plan.merges.size() + 2);
    const CardArray<int32_t> counts(std::vector<int32_t>{static_cast<int32_t>(plan.items.size()),
                                                         static_cast<int32_t>(plan.merges.size())});
    const CardArray<float> sums(static_cast<size_t>(MlaPartialFloats(plan.partials, columns)));
    const CardArray<float> stats(static_cast<size_t>(MlaStatFloats(plan.partials, columns)));
    const CardArray<float> scratch(static_cast<size_t>(MlaScratchFloats(kGrid, columns))),
        card_scales(scales);
    const CardArray<fp8_e4m3> card_latent(latent);
    const CardArray<bf16> card_rope(rope);
    const CardArray<uint8_t> card_cache(cache_);
    const CardArray<T> out(static_cast<size_t>(row * stride));
    Mla({.q_latent = {card_latent.data(), DType::kF8E4M3, row, stride, stride},
         .q_rope = {card_rope.data(), DType::kBF16, row, heads_ * kRope, heads_ * kRope},
         .q_rope_head_stride = kRope,
         .heads = heads_,
         .scale = kScale,
         .cache = card_cache.data(),
         .cache_tokens = static_cast<int64_t>(cache_.size()) / kFp8PageBytes * kPageTokens,
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
         .blocks = kGrid,
         .q_scales = card_scales.data()},
        {});
    CardWait();
    return out.Read();
  }

  // In fp64; with weights rounded as the kernel rounds them, or not at all.
  std::vector<double> Expected(const Chunk& chunk, int64_t row, int64_t head, bool rounded) const {
    const int64_t visible = chunk.first_position + row + 1;
    const std::vector<double> query = queries_.Row((chunk.first_query + row) * heads_ + head);
    const int64_t step = 2 * kPageTokens, part = PagesOfPart(visible) * kPageTokens;
    std::vector<double> out(kLatent), sums(kLatent);
    double all = 0, total = 0, all_largest = -INFINITY, largest = -INFINITY;
    for (int64_t begin = 0; begin < visible; begin += step) {
      std::vector<std::vector<double>> entries;
      std::vector<double> scores, scales;
      double best = largest;
      for (int64_t t = begin; t < std::min(visible, begin + step); ++t) {
        const uint8_t* const page = cache_.data() + (*chunk.table)[t / kPageTokens] * kFp8PageBytes;
        const uint8_t* const entry = page + t % kPageTokens * kFp8EntryBytes;
        float scale;
        std::memcpy(&scale, page + kPageTokens * kFp8EntryBytes + t % kPageTokens * 4, 4);
        entries.push_back(Values(entry, entry + kLatent, scale));
        double score = 0;
        for (int64_t c = 0; c < kLatent + kRope; ++c) score += query[c] * entries.back()[c];
        scores.push_back(score * static_cast<double>(kScale) * 1.4426950408889634);
        scales.push_back(static_cast<double>(scale));
        best = std::max(best, scores.back() + std::log2(scales.back()));
      }
      const double shrink = std::exp2(largest - best);
      largest = best;
      for (double& sum : sums) sum *= shrink;
      total *= shrink;
      for (size_t t = 0; t < scores.size(); ++t) {
        const double weight = std::exp2(scores[t] + std::log2(scales[t]) - best);
        const double kept = rounded ? Value(ToE4M3(static_cast<float>(256 * weight))) / 256 : weight;
        total += weight / scales[t];
        for (int64_t c = 0; c < kLatent; ++c) sums[c] += kept * entries[t][c] / scales[t];
      }
      if ((begin + step) % part == 0 || begin + step >= visible) {
        const double most = std::max(all_largest, largest);
        const double before = std::exp2(all_largest - most), now = std::exp2(largest - most);
        for (int64_t c = 0; c < kLatent; ++c) out[c] = out[c] * before + sums[c] * now;
        all = all * before + total * now;
        all_largest = most;
        std::fill(sums.begin(), sums.end(), 0.0);
        total = 0;
        largest = -INFINITY;
      }
    }
    for (double& value : out) value /= all;
    return out;
  }

  template <class T>
  void ExpectRight(const std::vector<T>& out, const std::vector<Chunk>& chunks) const {
    int64_t row = 0;
    for (const Chunk& chunk : chunks) {
      for (int64_t r = 0; r < chunk.rows; ++r, ++row) {
        for (int64_t h = 0; h < heads_; h += 1 + h % 3) {
          SCOPED_TRACE(testing::Message() << heads_ << " heads, row " << row << " head " << h);
          const T* const actual = out.data() + (row * heads_ + h) * kLatent;
          ExpectRow(actual, Expected(chunk, r, h, false), kBound);
          // A weight near the middle between two values may be rounded to either.
          ExpectRow(actual, Expected(chunk, r, h, true), 50 * Fp8Tolerance());
        }
      }
    }
  }

 private:
  int64_t heads_;
  std::vector<uint8_t> cache_;
  Entries queries_;
  std::vector<BlockId> free_;
  Random& random_;
};

TEST(MlaFp8Test, DecodesAgreeWithReference) {
  Random random(1);
  for (int64_t heads : {8, 16, 128}) {
    Scene scene(heads, 7, 4, random);
    const std::vector<BlockId> a = scene.Add(70), b = scene.Add(1), c = scene.Add(128), d = scene.Add(129);
    const std::vector<Scene::Chunk> chunks = {{&a, 1, 69, 0}, {&b, 1, 0, 1}, {&c, 1, 127, 2}, {&d, 1, 62, 3}};
    scene.ExpectRight(scene.Run<float>(chunks), chunks);
    scene.ExpectRight(scene.Run<bf16>(chunks), chunks);
  }
}

TEST(MlaFp8Test, ChunksSeeTheirOwnPast) {
  Random random(2);
  for (int64_t heads : {16, 32}) {
    Scene scene(heads, 6, 12, random);
    const std::vector<BlockId> a = scene.Add(68), b = scene.Add(6);
    // Seven tokens across a page's end, a whole short prompt of five, and room behind them that is not seen.
    const std::vector<Scene::Chunk> chunks = {{&a, 7, 60, 0}, {&b, 5, 0, 7}};
    scene.ExpectRight(scene.Run<float>(chunks), chunks);
  }
}

TEST(MlaFp8Test, PartsAreMerged) {
  Random random(3);
  Scene scene(16, 30, 6, random);
  const std::vector<BlockId> a = scene.Add(515), b = scene.Add(1040);
  const std::vector<Scene::Chunk> chunks = {{&a, 4, 510, 0}, {&b, 2, 1038, 4}};
  const std::vector<float> out = scene.Run<float>(chunks);
  scene.ExpectRight(out, chunks);
  EXPECT_EQ(scene.Run<float>(chunks), out);
  // One block walks all parts of its tile: no share is too large.
  EXPECT_EQ(scene.Run<float>(chunks, 1), out);
}

TEST(MlaFp8Test, AQueryIsTheSameAloneAndInAnyBatch) {
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
}

TEST(ScaleExponentTest, IsTheSmallestThatFits) {
  EXPECT_EQ(ScaleExponent(448.0f), 0);
  EXPECT_EQ(ScaleExponent(std::nextafter(448.0f, 1e9f)), 1);
  EXPECT_EQ(ScaleExponent(512.0f), 1);
  EXPECT_EQ(ScaleExponent(1.75f), -8);
  EXPECT_EQ(ScaleExponent(1.0f), -8);
  EXPECT_EQ(ScaleExponent(0.0f), -32);
  EXPECT_EQ(ExponentOf(PowerOfTwo(-32)), -32);
}

TEST(MlaFp8PrepareTest, EntriesAreTheBf16OnesQuantised) {
  Random random(5);
  const int64_t m = 3, heads = 2, pages = 2;
  std::vector<bf16> kv = NormalBF16(m * (kLatent + kRope), random), q = NormalBF16(m * heads * kRope, random);
  std::fill_n(kv.begin(), kLatent, bf16{});  // a latent of zeros
  const CardArray<bf16> card_kv(kv), card_q(q), card_q_again(q),
      wide(pages * kPageTokens * (kLatent + kRope));
  const CardArray<uint8_t> narrow(pages * kFp8PageBytes);
  const CardArray<float> weight(UniformFloats(kLatent, random, 0.5f, 2.0f)),
      cos(UniformFloats(50 * 32, random, -1.0f, 1.0f)), sin(UniformFloats(50 * 32, random, -1.0f, 1.0f));
  const CardArray<int32_t> positions(std::vector<int32_t>{49, 0, 7});
  const std::vector<int64_t> slot = {70, -1, 63};
  const CardArray<int64_t> slots(slot);
  MlaPrepareArgs args{.kv = {card_kv.data(), DType::kBF16, m, kLatent + kRope, kLatent + kRope},
                      .norm_weight = weight.data(),
                      .q = {card_q.data(), DType::kBF16, m, heads * kRope, heads * kRope},
                      .heads = heads,
                      .q_head_stride = kRope,
                      .positions = positions.data(),
                      .cos = cos.data(),
                      .sin = sin.data(),
                      .slots = slots.data(),
                      .cache = wide.data()};
  MlaPrepare(args, {});
  args.q.data = card_q_again.data();
  args.cache = nullptr;
  args.fp8_cache = narrow.data();
  MlaPrepare(args, {});
  CardWait();
  const std::vector<bf16> entries = wide.Read();
  std::vector<uint8_t> cache = narrow.Read();
  for (const int64_t at : {slot[0], slot[2]}) {
    const bf16* const expected = entries.data() + at * (kLatent + kRope);
    float largest = 0;
    for (int64_t c = 0; c < kLatent; ++c) largest = std::max(largest, std::abs(ToFloat(expected[c])));
    uint8_t* const page = cache.data() + at / kPageTokens * kFp8PageBytes;
    uint8_t* const entry = page + at % kPageTokens * kFp8EntryBytes;
    float* const scale = reinterpret_cast<float*>(page + kPageTokens * kFp8EntryBytes) + at % kPageTokens;
    ASSERT_EQ(*scale, PowerOfTwo(ScaleExponent(largest)));
    const std::vector<double> values = Values(entry, entry + kLatent, *scale);
    for (int64_t c = 0; c < kLatent; ++c)
      ASSERT_EQ(entry[c], ToE4M3(ToFloat(expected[c]) / *scale).bits) << at << " " << c;
    for (int64_t c = kLatent; c < kLatent + kRope; ++c)
      ASSERT_EQ(values[c], Value(expected[c])) << at << " " << c;
    std::memset(entry, 0xff, kFp8EntryBytes);
    std::memset(scale, 0xff, 4);
  }
  // Nothing else was written.
  EXPECT_EQ(std::count(cache.begin(), cache.end(), 0xff), static_cast<int64_t>(cache.size()));
  const std::vector<bf16> rotated = card_q.Read(), again = card_q_again.Read();
  for (size_t i = 0; i < rotated.size(); ++i) ASSERT_EQ(again[i].bits, rotated[i].bits);
}

TEST(MlaQuantiseQueriesTest, ScalesAreEachHeadsOwn) {
  Random random(6);
  const int64_t m = 2, heads = 11, head_stride = kRope + 6, offset = 4, latent_stride = heads * kLatent + 8;
  std::vector<bf16> latent = NormalBF16(m * latent_stride, random);
  for (int64_t c = 0; c < kLatent; ++c) latent[latent_stride + 3 * kLatent + c].bits = 0;
  const std::vector<bf16> rope = NormalBF16(m * heads * head_stride, random);
  const CardArray<bf16> card_latent(latent), card_rope(rope), out_rope(m * heads * kRope);
  const CardArray<fp8_e4m3> out_latent(m * heads * kLatent);
  const CardArray<float> scales(m * heads);
  MlaQuantiseQueries({.q_latent = {card_latent.data(), DType::kBF16, m, heads * kLatent, latent_stride},
                      .q_rope = {card_rope.data(), DType::kBF16, m, heads * head_stride, heads * head_stride},
                      .q_rope_head_stride = head_stride,
                      .q_rope_offset = offset,
                      .heads = heads,
                      .latent = out_latent.data(),
                      .rope = out_rope.data(),
                      .scales = scales.data()},
                     {});
  CardWait();
  const std::vector<fp8_e4m3> values = out_latent.Read();
  const std::vector<bf16> ropes = out_rope.Read();
  const std::vector<float> scale = scales.Read();
  for (int64_t i = 0; i < m * heads; ++i) {
    const bf16* const from = latent.data() + i / heads * latent_stride + i % heads * kLatent;
    float largest = 0;
    for (int64_t c = 0; c < kLatent; ++c) largest = std::max(largest, std::abs(ToFloat(from[c])));
    ASSERT_EQ(scale[i], PowerOfTwo(ScaleExponent(largest)));
    for (int64_t c = 0; c < kLatent; ++c)
      ASSERT_EQ(values[i * kLatent + c].bits, ToE4M3(ToFloat(from[c]) / scale[i]).bits) << i << " " << c;
    for (int64_t c = 0; c < kRope; ++c) {
      const bf16 exact = rope[i / heads * heads * head_stride + i % heads * head_stride + offset + c];
      ASSERT_EQ(Value(ropes[i * kRope + c]) * static_cast<double>(scale[i]), Value(exact)) << i << " " << c;
    }
  }
}

}  // namespace
}  // namespace deeprack::kernels::sm90
