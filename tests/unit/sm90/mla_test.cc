// Latent attention over a cache of bf16 and of fp8.
#include "kernels/cuda/sm90/mla.h"

#include <optional>

#include "base/e4m3.h"
#include "tests/unit/sm90/mla_scene.h"

namespace deeprack::kernels::sm90 {
namespace {

constexpr int64_t kWidth = kLatent + kRope;

double Value(bf16 v) { return static_cast<double>(ToFloat(v)); }
double Value(fp8_e4m3 v) { return static_cast<double>(ToFloat(v)); }

class Bf16Scene final : public MlaScene {
 public:
  Bf16Scene(int64_t heads, int64_t pages, int64_t rows, Random& random)
      : MlaScene(heads, pages, kPageTokens * kWidth * 2, random),
        latent_(NormalBF16(rows * heads * kLatent, random, 0.3f)),
        rope_(NormalBF16(rows * heads * (kNope + kRope), random, 0.3f)) {
    for (size_t i = 0; i < rope_.size(); ++i) {
      if (static_cast<int64_t>(i) % (kNope + kRope) < kNope) rope_[i].bits = 0xffff;
    }
  }

 private:
  static constexpr int64_t kNope = 8;  // what lies before each head's rope values; NaN here
  static constexpr double kTolerance = 8e-3;

  bf16* entry(int64_t slot) { return reinterpret_cast<bf16*>(cache_.data()) + slot * kWidth; }
  const bf16* entry(int64_t slot) const {
    return reinterpret_cast<const bf16*>(cache_.data()) + slot * kWidth;
  }

  void WriteEntry(int64_t slot) override {
    const std::vector<bf16> values = NormalBF16(kWidth, random_);
    std::copy(values.begin(), values.end(), entry(slot));
  }

  void SetQueries(const std::vector<int64_t>& rows, MlaArgs& args) override {
    const int64_t latent = heads_ * kLatent, rope = heads_ * (kNope + kRope);
    card_latent_.emplace(Take(latent_, rows, latent));
    card_rope_.emplace(Take(rope_, rows, rope));
    args.q_latent = {card_latent_->data(), DType::kBF16, std::ssize(rows), latent, latent};
    args.q_rope = {card_rope_->data(), DType::kBF16, std::ssize(rows), rope, rope};
    args.q_rope_head_stride = kNope + kRope;
    args.q_rope_offset = kNope;
  }

  std::vector<Expectation> Expected(const Chunk& chunk, int64_t row, int64_t head) const override {
    const int64_t query = chunk.first_query + row, visible = chunk.first_position + row + 1;
    const bf16* latent = latent_.data() + (query * heads_ + head) * kLatent;
    const bf16* rope = rope_.data() + (query * heads_ + head) * (kNope + kRope) + kNope;
    std::vector<double> weights;
    for (int64_t t = 0; t < visible; ++t) {
      const bf16* const of_token = entry(SlotOf(*chunk.table, t));
      double score = 0;
      for (int64_t c = 0; c < kLatent; ++c) score += Value(latent[c]) * Value(of_token[c]);
      for (int64_t c = 0; c < kRope; ++c) score += Value(rope[c]) * Value(of_token[kLatent + c]);
      weights.push_back(score * static_cast<double>(kScale));
    }
    const double largest = *std::max_element(weights.begin(), weights.end());
    double total = 0;
    for (double& weight : weights) total += weight = std::exp(weight - largest);
    std::vector<double> out(kLatent);
    for (int64_t t = 0; t < visible; ++t) {
      const bf16* const of_token = entry(SlotOf(*chunk.table, t));
      for (int64_t c = 0; c < kLatent; ++c) out[c] += weights[t] / total * Value(of_token[c]);
    }
    return {{out, kTolerance}};
  }

  std::vector<bf16> latent_, rope_;
  std::optional<CardArray<bf16>> card_latent_, card_rope_;
};

// scale * (512 e4m3 | 64 bf16).
struct Fp8Row {
  fp8_e4m3 latent[kLatent];
  bf16 rope[kRope];
  float scale;

  // At the scale of its own largest; one row in nine small.
  static Fp8Row Draw(float deviation, Random& random) {
    const std::vector<bf16> values =
        NormalBF16(kWidth, random, random() % 9 == 0 ? deviation / 64 : deviation);
    float largest = 0;
    for (int64_t c = 0; c < kLatent; ++c) largest = std::max(largest, std::abs(ToFloat(values[c])));
    Fp8Row row;
    row.scale = PowerOfTwo(ScaleExponent(largest));
    for (int64_t c = 0; c < kLatent; ++c) row.latent[c] = ToE4M3(ToFloat(values[c]) / row.scale);
    for (int64_t c = 0; c < kRope; ++c) row.rope[c] = ToBF16(ToFloat(values[kLatent + c]) / row.scale);
    return row;
  }

  // As numbers, without the scale.
  std::vector<double> Values() const {
    std::vector<double> values;
    for (const fp8_e4m3 v : latent) values.push_back(Value(v));
    for (const bf16 v : rope) values.push_back(Value(v));
    return values;
  }
};

class Fp8Scene final : public MlaScene {
 public:
  Fp8Scene(int64_t heads, int64_t pages, int64_t rows, Random& random)
      : MlaScene(heads, pages, kFp8PageBytes, random) {
    for (int64_t i = 0; i < rows * heads; ++i) queries_.push_back(Fp8Row::Draw(0.3f, random));
  }

 private:
  static constexpr double kBound = 0.15;  // as mla.h states it: P's rounding

  void WriteEntry(int64_t slot) override {
    const Fp8Row row = Fp8Row::Draw(1.0f, random_);
    uint8_t* const entry = cache_.data() + kFp8Page.EntryAt(slot);
    std::memcpy(entry, row.latent, sizeof(row.latent));
    std::memcpy(entry + kFp8Page.rope_begin(), row.rope, sizeof(row.rope));
    std::memcpy(cache_.data() + kFp8Page.ScaleAt(slot), &row.scale, sizeof(row.scale));
  }

  Fp8Row Entry(int64_t slot) const {
    Fp8Row row;
    const uint8_t* const entry = cache_.data() + kFp8Page.EntryAt(slot);
    std::memcpy(row.latent, entry, sizeof(row.latent));
    std::memcpy(row.rope, entry + kFp8Page.rope_begin(), sizeof(row.rope));
    std::memcpy(&row.scale, cache_.data() + kFp8Page.ScaleAt(slot), sizeof(row.scale));
    return row;
  }

  void SetQueries(const std::vector<int64_t>& rows, MlaArgs& args) override {
    std::vector<fp8_e4m3> latent;
    std::vector<bf16> rope;
    std::vector<float> scales;
    for (const Fp8Row& query : Take(queries_, rows, heads_)) {
      latent.insert(latent.end(), std::begin(query.latent), std::end(query.latent));
      rope.insert(rope.end(), std::begin(query.rope), std::end(query.rope));
      scales.push_back(query.scale);
    }
    card_latent_.emplace(latent);
    card_rope_.emplace(rope);
    card_scales_.emplace(scales);
    args.q_latent = {card_latent_->data(), DType::kF8E4M3, std::ssize(rows), heads_ * kLatent,
                     heads_ * kLatent};
    args.q_rope = {card_rope_->data(), DType::kBF16, std::ssize(rows), heads_ * kRope, heads_ * kRope};
    args.q_rope_head_stride = kRope;
    args.q_scales = card_scales_->data();
  }

  std::vector<Expectation> Expected(const Chunk& chunk, int64_t row, int64_t head) const override {
    // A weight near the middle between two values may be rounded to either.
    return {{Attended(chunk, row, head, false), kBound},
            {Attended(chunk, row, head, true), 50 * Fp8Tolerance()}};
  }

  // With weights rounded as the kernel rounds them, or not at all.
  std::vector<double> Attended(const Chunk& chunk, int64_t row, int64_t head, bool rounded) const {
    const int64_t visible = chunk.first_position + row + 1;
    const Fp8Row& of_query = queries_[(chunk.first_query + row) * heads_ + head];
    const std::vector<double> query = of_query.Values();
    const double score_scale =
        static_cast<double>(of_query.scale) * static_cast<double>(kScale) * 1.4426950408889634;
    const int64_t step = 2 * kPageTokens, part = PagesOfPart(visible) * kPageTokens;
    std::vector<double> out(kLatent), sums(kLatent);
    double all = 0, total = 0, all_largest = -INFINITY, largest = -INFINITY;
    for (int64_t begin = 0; begin < visible; begin += step) {
      std::vector<std::vector<double>> entries;
      std::vector<double> scores, scales;
      double best = largest;
      for (int64_t t = begin; t < std::min(visible, begin + step); ++t) {
        const Fp8Row entry = Entry(SlotOf(*chunk.table, t));
        entries.push_back(entry.Values());
        scales.push_back(static_cast<double>(entry.scale));
        double score = 0;
        for (int64_t c = 0; c < kWidth; ++c) score += query[c] * entries.back()[c];
        scores.push_back(score * scales.back() * score_scale);
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
        for (int64_t c = 0; c < kLatent; ++c) sums[c] += kept * entries[t][c];
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

  std::vector<Fp8Row> queries_;
  std::optional<CardArray<fp8_e4m3>> card_latent_;
  std::optional<CardArray<bf16>> card_rope_;
  std::optional<CardArray<float>> card_scales_;
};

template <class Scene>
class MlaTest : public ::testing::Test {};

struct SceneNames {
  template <class Scene>
  static std::string GetName(int) {
    return std::is_same_v<Scene, Fp8Scene> ? "fp8" : "bf16";
  }
};
using Scenes = ::testing::Types<Bf16Scene, Fp8Scene>;
TYPED_TEST_SUITE(MlaTest, Scenes, SceneNames);

TYPED_TEST(MlaTest, DecodesAgreeWithReference) {
  Random random(1);
  for (int64_t heads : {8, 16, 128}) {
    TypeParam scene(heads, 7, 4, random);
    const std::vector<BlockId> a = scene.Add(70), b = scene.Add(1), c = scene.Add(128), d = scene.Add(129);
    const std::vector<MlaScene::Chunk> chunks = {
        {&a, 1, 69, 0}, {&b, 1, 0, 1}, {&c, 1, 127, 2}, {&d, 1, 62, 3}};
    scene.ExpectRight(scene.template Run<float>(chunks), chunks);
    scene.ExpectRight(scene.template Run<bf16>(chunks), chunks);
  }
}

TYPED_TEST(MlaTest, ChunksSeeTheirOwnPast) {
  Random random(2);
  for (int64_t heads : {16, 32}) {
    TypeParam scene(heads, 6, 12, random);
    const std::vector<BlockId> a = scene.Add(68), b = scene.Add(6);
    // Seven tokens across a page's end, a whole short prompt of five, and room behind them that is not seen.
    const std::vector<MlaScene::Chunk> chunks = {{&a, 7, 60, 0}, {&b, 5, 0, 7}};
    scene.ExpectRight(scene.template Run<float>(chunks), chunks);
  }
}

TYPED_TEST(MlaTest, PartsAreMerged) {
  Random random(3);
  TypeParam scene(16, 30, 6, random);
  const std::vector<BlockId> a = scene.Add(515), b = scene.Add(1040);
  // 9 pages: two parts, the second of few tokens; tokens before and behind the border of the second part
  // share a tile.
  const std::vector<MlaScene::Chunk> chunks = {{&a, 4, 510, 0}, {&b, 2, 1038, 4}};
  const std::vector<float> out = scene.template Run<float>(chunks);
  scene.ExpectRight(out, chunks);
  EXPECT_EQ(scene.template Run<float>(chunks), out);
  // One block walks all parts of its tile: no share is too large.
  EXPECT_EQ(scene.template Run<float>(chunks, 1), out);
}

TYPED_TEST(MlaTest, AQueryIsTheSameAloneAndInAnyBatch) {
  Random random(4);
  const int64_t heads = 16, row_size = heads * kLatent;
  TypeParam scene(heads, 24, 8, random);
  const std::vector<BlockId> a = scene.Add(516), b = scene.Add(90);
  const std::vector<float> together = scene.template Run<float>({{&b, 3, 80, 5}, {&a, 5, 509, 0}});
  for (int32_t r = 0; r < 5; ++r) {
    const std::vector<float> alone = scene.template Run<float>({{&a, 1, 509 + r, r}});
    for (int64_t i = 0; i < row_size; ++i)
      ASSERT_EQ(alone[i], together[(3 + r) * row_size + i]) << "row " << r << " " << i;
  }
  const std::vector<float> pair = scene.template Run<float>({{&a, 2, 511, 2}});
  for (int64_t i = 0; i < 2 * row_size; ++i) ASSERT_EQ(pair[i], together[5 * row_size + i]);
}

}  // namespace
}  // namespace deeprack::kernels::sm90
