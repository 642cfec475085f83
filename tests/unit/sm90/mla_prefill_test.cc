// Attention with expanded keys, and the kernel that brings a span of the cache together.
#include "kernels/cuda/sm90/mla_prefill.h"

#include <algorithm>

#include "base/e4m3.h"
#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {
namespace {

constexpr float kScale = 0.11f;
constexpr double kTolerance = 8e-3;

double Value(bf16 v) { return static_cast<double>(ToFloat(v)); }

int64_t Padded(int64_t tokens) { return (tokens + kPrefillTile - 1) / kPrefillTile * kPrefillTile; }

// Keys and values of some sequences, and queries for them.
class Scene {
 public:
  Scene(int64_t heads, Random& random) : heads_(heads), random_(random) {}

  // Adds a sequence of `tokens` tokens.
  int Add(int64_t tokens) {
    sequences_.push_back({tokens, NormalBF16(tokens * heads_ * (kHeadKey + kHeadValue), random_),
                          NormalBF16(tokens * kRope, random_),
                          NormalBF16(tokens * heads_ * kHeadQuery, random_, 0.3f)});
    return static_cast<int>(sequences_.size()) - 1;
  }

  struct Chunk {
    int sequence;
    int32_t rows, first_position;
  };

  // Attends the chunks as one batch to keys in spans of `span` tokens. Returns [row][heads * 128].
  template <class T>
  std::vector<T> Run(const std::vector<Chunk>& chunks, int64_t span) const {
    const int64_t q_stride = heads_ * kHeadQuery + 8, out_stride = heads_ * kHeadValue + 2;
    int64_t rows = 0, longest = 0;
    std::vector<bf16> q;
    for (const Chunk& chunk : chunks) {
      const bf16* from = sequences_[chunk.sequence].q.data() + chunk.first_position * heads_ * kHeadQuery;
      for (int64_t r = 0; r < chunk.rows; ++r, from += heads_ * kHeadQuery) {
        q.insert(q.end(), from, from + heads_ * kHeadQuery);
        q.resize(q.size() + 8, bf16{0xffff});
      }
      rows += chunk.rows;
      longest = std::max<int64_t>(longest, chunk.first_position + chunk.rows);
    }
    const CardArray<bf16> card_q(q);
    const CardArray<float> sums(rows * heads_ * kHeadValue), stats(rows * heads_ * 2);
    const CardArray<T> out(rows * out_stride);
    for (int64_t begin = 0; begin < longest; begin += span) {
      const int64_t kv_stride = heads_ * (kHeadKey + kHeadValue) + 8, rope_stride = kRope + 8;
      std::vector<MlaPrefillSequence> sequences;
      std::vector<bf16> kv, rope;
      int32_t row = 0, kv_row = 0;
      for (const Chunk& chunk : chunks) {
        const Sequence& of = sequences_[chunk.sequence];
        const int64_t end = std::min<int64_t>(begin + span, chunk.first_position + chunk.rows);
        const int64_t tokens = std::max<int64_t>(0, end - begin);
        sequences.push_back({row, chunk.rows, chunk.first_position, kv_row, static_cast<int32_t>(begin),
                             static_cast<int32_t>(tokens)});
        // NaN between rows; zeros behind the last token.
        kv.resize((kv_row + Padded(tokens)) * kv_stride, bf16{0xffff});
        rope.resize((kv_row + Padded(tokens)) * rope_stride, bf16{0xffff});
        for (int64_t t = 0; t < Padded(tokens); ++t, ++kv_row) {
          for (int64_t c = 0; c < kv_stride - 8; ++c)
            kv[kv_row * kv_stride + c] = t < tokens ? of.kv[(begin + t) * (kv_stride - 8) + c] : bf16{};
          for (int64_t c = 0; c < kRope; ++c)
            rope[kv_row * rope_stride + c] = t < tokens ? of.rope[(begin + t) * kRope + c] : bf16{};
        }
        row += chunk.rows;
      }
      const std::vector<MlaPrefillItem> items = PlanMlaPrefill(sequences.data(), std::ssize(sequences));
      const CardArray<MlaPrefillItem> card_items(items);
      const CardArray<bf16> card_kv(kv), card_rope(rope);
      MlaPrefill({.q = {card_q.data(), DType::kBF16, rows, heads_ * kHeadQuery, q_stride},
                  .kv = {card_kv.data(), DType::kBF16, kv_row, kv_stride - 8, kv_stride},
                  .rope = {card_rope.data(), DType::kBF16, kv_row, kRope, rope_stride},
                  .heads = heads_,
                  .scale = kScale,
                  .items = card_items.data(),
                  .num_items = std::ssize(items),
                  .first = begin == 0,
                  .last = begin + span >= longest,
                  .sums = sums.data(),
                  .stats = stats.data(),
                  .out = {out.data(), sizeof(T) == 2 ? DType::kBF16 : DType::kF32, rows, heads_ * kHeadValue,
                          out_stride}},
                 {});
      CardWait();
    }
    std::vector<T> dense;
    const std::vector<T> all = out.Read();
    for (int64_t r = 0; r < rows; ++r) {
      const auto from = all.begin() + r * out_stride;
      dense.insert(dense.end(), from, from + heads_ * kHeadValue);
      for (int64_t c = heads_ * kHeadValue; c < out_stride; ++c)
        EXPECT_TRUE(std::isnan(static_cast<double>(ToFloat(from[c]))));
    }
    return dense;
  }

  std::vector<double> Expected(int sequence, int64_t position, int64_t head) const {
    const Sequence& of = sequences_[sequence];
    const bf16* const q = of.q.data() + (position * heads_ + head) * kHeadQuery;
    const auto kv = [&](int64_t t) { return of.kv.data() + (t * heads_ + head) * (kHeadKey + kHeadValue); };
    std::vector<double> weights;
    for (int64_t t = 0; t <= position; ++t) {
      double score = 0;
      for (int64_t c = 0; c < kHeadKey; ++c) score += Value(q[c]) * Value(kv(t)[c]);
      for (int64_t c = 0; c < kRope; ++c) score += Value(q[kHeadKey + c]) * Value(of.rope[t * kRope + c]);
      weights.push_back(score * static_cast<double>(kScale));
    }
    const double largest = *std::max_element(weights.begin(), weights.end());
    double total = 0;
    for (double& weight : weights) total += weight = std::exp(weight - largest);
    std::vector<double> out(kHeadValue);
    for (int64_t t = 0; t <= position; ++t) {
      for (int64_t c = 0; c < kHeadValue; ++c) out[c] += weights[t] / total * Value(kv(t)[kHeadKey + c]);
    }
    return out;
  }

  template <class T>
  void ExpectRight(const std::vector<T>& out, const std::vector<Chunk>& chunks) const {
    int64_t row = 0;
    for (const Chunk& chunk : chunks) {
      for (int64_t r = 0; r < chunk.rows; ++r, ++row) {
        if (r % 5 != 0 && r + 3 < chunk.rows) continue;
        for (int64_t h = 0; h < heads_; ++h) {
          SCOPED_TRACE(testing::Message() << "row " << row << " head " << h);
          ExpectRow(out.data() + (row * heads_ + h) * kHeadValue,
                    Expected(chunk.sequence, chunk.first_position + r, h), kTolerance);
        }
      }
    }
  }

 private:
  struct Sequence {
    int64_t tokens;
    std::vector<bf16> kv, rope, q;
  };
  int64_t heads_;
  Random& random_;
  std::vector<Sequence> sequences_;
};

TEST(MlaPrefillTest, WholePromptsAgreeWithReference) {
  Random random(1);
  Scene scene(2, random);
  const int a = scene.Add(150), b = scene.Add(1), c = scene.Add(128);
  const std::vector<Scene::Chunk> chunks = {{a, 150, 0}, {b, 1, 0}, {c, 128, 0}};
  const std::vector<float> out = scene.Run<float>(chunks, 1024);
  scene.ExpectRight(out, chunks);
  scene.ExpectRight(scene.Run<bf16>(chunks, 1024), chunks);
  EXPECT_EQ(scene.Run<float>(chunks, 1024), out);
}

TEST(MlaPrefillTest, ChunksSeeTheirPrefixInSpans) {
  Random random(2);
  Scene scene(2, random);
  const int a = scene.Add(400), b = scene.Add(70);
  // Spans of which one chunk sees nothing, which end within a tile, and which some rows of a tile do not see.
  const std::vector<Scene::Chunk> chunks = {{a, 40, 230}, {b, 9, 61}, {a, 140, 260}};
  scene.ExpectRight(scene.Run<float>(chunks, 128), chunks);
  scene.ExpectRight(scene.Run<bf16>(chunks, 256), chunks);
}

TEST(MlaPrefillTest, AQueryIsTheSameInAnyChunk) {
  Random random(3);
  Scene scene(1, random);
  const int a = scene.Add(300), b = scene.Add(20);
  for (const int64_t span : {256, 1024}) {
    const std::vector<float> whole = scene.Run<float>({{a, 300, 0}}, span);
    const std::vector<float> parts = scene.Run<float>({{b, 20, 0}, {a, 130, 170}, {a, 1, 131}}, span);
    for (int64_t i = 0; i < 130 * kHeadValue; ++i)
      ASSERT_EQ(parts[20 * kHeadValue + i], whole[170 * kHeadValue + i]) << i;
    for (int64_t i = 0; i < kHeadValue; ++i)
      ASSERT_EQ(parts[150 * kHeadValue + i], whole[131 * kHeadValue + i]) << i;
  }
}

TEST(MlaPrefillPlanTest, TilesEndWithWhatTheirQueriesSee) {
  const std::vector<MlaPrefillSequence> sequences = {{10, 130, 250, 512, 256, 124}, {140, 5, 0, 640, 256, 0}};
  const std::vector<MlaPrefillItem> items = PlanMlaPrefill(sequences.data(), std::ssize(sequences));
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(items[0].row, 10);
  EXPECT_EQ(items[0].rows, 128);
  EXPECT_EQ(items[0].kv_tiles, 1);  // positions 256 to 377
  EXPECT_EQ(items[1].row, 138);
  EXPECT_EQ(items[1].rows, 2);
  EXPECT_EQ(items[1].position, 378);
  EXPECT_EQ(items[2].kv_tiles, 0);
}

TEST(MlaKvBTest, IsTheCheckpointsMatrix) {
  Random random(6);
  constexpr int64_t kHeads = 3, kKeyStride = kLatent * kHeadKey + 16, kValueStride = kHeadValue * kLatent + 8;
  const std::vector<bf16> key = NormalBF16(kHeads * kKeyStride, random),
                          value = NormalBF16(kHeads * kValueStride, random);
  const CardArray<bf16> card_key(key), card_value(value), kv_b(kHeads * (kHeadKey + kHeadValue) * kLatent);
  MlaKvB({.key = card_key.data(),
          .value = card_value.data(),
          .key_stride = kKeyStride,
          .value_stride = kValueStride,
          .heads = kHeads,
          .kv_b = kv_b.data()},
         {});
  CardWait();
  const std::vector<bf16> out = kv_b.Read();
  for (int64_t h = 0; h < kHeads; ++h) {
    for (int64_t r = 0; r < kHeadKey + kHeadValue; ++r) {
      for (int64_t c = 0; c < kLatent; ++c) {
        const bf16 expected = r < kHeadKey ? key[h * kKeyStride + c * kHeadKey + r]
                                           : value[h * kValueStride + (r - kHeadKey) * kLatent + c];
        ASSERT_EQ(out[(h * (kHeadKey + kHeadValue) + r) * kLatent + c].bits, expected.bits)
            << h << " " << r << " " << c;
      }
    }
  }
}

TEST(MlaGatherTest, BringsEntriesOfBothCaches) {
  Random random(4);
  const int64_t n = 75, pages = 2, tokens = pages * kPageTokens, seen = 71;
  const std::vector<BlockId> table = {1, 0};
  const std::vector<bf16> wide = NormalBF16(tokens * (kLatent + kRope), random);
  std::vector<uint8_t> narrow(pages * kFp8PageBytes, 0xff);
  std::vector<double> numbers(tokens * (kLatent + kRope));
  for (int64_t t = 0; t < tokens; ++t) {
    uint8_t* const page = narrow.data() + t / kPageTokens * kFp8PageBytes;
    uint8_t* const entry = page + t % kPageTokens * kFp8EntryBytes;
    const float scale = PowerOfTwo(static_cast<int>(random() % 9) - 6);
    std::memcpy(page + kPageTokens * kFp8EntryBytes + t % kPageTokens * 4, &scale, 4);
    const std::vector<fp8_e4m3> latent = RandomE4M3(kLatent, random);
    const std::vector<bf16> rope = NormalBF16(kRope, random);
    std::memcpy(entry, latent.data(), kLatent);
    std::memcpy(entry + kLatent, rope.data(), kRope * 2);
    for (int64_t c = 0; c < kLatent + kRope; ++c) {
      numbers[t * (kLatent + kRope) + c] =
          static_cast<double>(scale) *
          (c < kLatent ? static_cast<double>(ToFloat(latent[c])) : Value(rope[c - kLatent]));
    }
  }
  const CardArray<bf16> card_wide(wide);
  const CardArray<uint8_t> card_narrow(narrow);
  const CardArray<BlockId> card_table(table);
  for (const bool fp8 : {false, true}) {
    const int64_t latent_stride = kLatent + 8, rope_stride = kRope + 16;
    const CardArray<bf16> latent(n * latent_stride), rope(n * rope_stride);
    MlaGather({.cache = fp8 ? static_cast<const void*>(card_narrow.data()) : card_wide.data(),
               .fp8 = fp8,
               .block_table = card_table.data(),
               .tokens = seen,
               .latent = {latent.data(), DType::kBF16, n, kLatent, latent_stride},
               .rope = {rope.data(), DType::kBF16, n, kRope, rope_stride}},
              {});
    CardWait();
    const std::vector<bf16> latents = latent.Read(), ropes = rope.Read();
    for (int64_t r = 0; r < n; ++r) {
      for (int64_t c = 0; c < kLatent + kRope; ++c) {
        const int64_t slot = table[r / kPageTokens] * kPageTokens + r % kPageTokens;
        const int64_t from = slot * (kLatent + kRope) + c;
        const double expected = r >= seen ? 0.0 : fp8 ? numbers[from] : Value(wide[from]);
        ASSERT_EQ(Value(c < kLatent ? latents[r * latent_stride + c] : ropes[r * rope_stride + c - kLatent]),
                  expected)
            << fp8 << " " << r << " " << c;
      }
      EXPECT_EQ(latents[r * latent_stride + kLatent].bits, 0xffff);
      EXPECT_EQ(ropes[r * rope_stride + kRope].bits, 0xffff);
    }
  }
}

}  // namespace
}  // namespace deeprack::kernels::sm90
