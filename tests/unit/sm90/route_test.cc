#include "kernels/cuda/sm90/route.h"

#include <algorithm>

#include "kernels/cuda/sm90/mla.h"
#include "kernels/cuda/sm90/mla_prepare.h"
#include "kernels/reference/reference.h"
#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {
namespace {

TEST(GateTest, AgreesWithReference) {
  Random random(1);
  struct Shape {
    int64_t experts, n_group, topk_group, top_k;
  };
  for (const Shape& shape :
       {Shape{256, 8, 4, 8}, Shape{64, 1, 1, 6}, Shape{32, 32, 3, 3}, Shape{128, 4, 4, 8}}) {
    const int64_t m = 11;
    std::vector<float> logits = UniformFloats(m * shape.experts, random, -3.0f, 3.0f);
    const std::vector<float> bias = UniformFloats(shape.experts, random, -0.2f, 0.2f);
    for (int64_t e = 0; e < shape.experts; ++e) logits[e] = 0.5f;  // token 0: equal scores, the bias decides
    for (bool with_bias : {true, false}) {
      const CardArray<float> card_logits(logits), card_bias(bias), weights(m * shape.top_k);
      const CardArray<int32_t> ids(m * shape.top_k);
      GateArgs args{card_logits.data(),
                    with_bias ? card_bias.data() : nullptr,
                    m,
                    shape.experts,
                    shape.n_group,
                    shape.topk_group,
                    shape.top_k,
                    true,
                    2.5f,
                    ids.data(),
                    weights.data()};
      ASSERT_EQ(WhyNotGate(shape.experts, shape.n_group, shape.top_k), nullptr);
      Gate(args, {});
      CardWait();
      std::vector<int32_t> expected_ids(m * shape.top_k);
      std::vector<float> expected(m * shape.top_k);
      args.logits = logits.data();
      args.bias = with_bias ? bias.data() : nullptr;
      args.ids = expected_ids.data();
      args.weights = expected.data();
      reference::Gate(args);
      EXPECT_EQ(ids.Read(), expected_ids)
          << shape.experts << " experts";  // token 0 without bias: ties go to the lower index
      const std::vector<float> actual = weights.Read();
      for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 2e-6f * expected[i]);
    }
  }
  EXPECT_STREQ(WhyNotGate(160, 8, 8), "its experts are not 32, 64, 128 or 256");
}

TEST(GateTest, RowsBeyondTheCountChooseNobody) {
  Random random(6);
  const int64_t m = 11, experts = 64, top_k = 6;
  const std::vector<float> logits = UniformFloats(m * experts, random, -3.0f, 3.0f);
  const CardArray<float> card_logits(logits), weights(m * top_k);
  const CardArray<int32_t> ids(m * top_k), count(std::vector<int32_t>{9});
  GateArgs args{.logits = card_logits.data(),
                .m = m,
                .experts = experts,
                .top_k = top_k,
                .ids = ids.data(),
                .weights = weights.data()};
  Gate(args, {});
  CardWait();
  std::vector<int32_t> expected = ids.Read();
  std::fill(expected.begin() + 9 * top_k, expected.end(), -1);
  args.row_count = count.data();
  Gate(args, {});
  CardWait();
  EXPECT_EQ(ids.Read(), expected);
  const std::vector<float> written = weights.Read();
  EXPECT_GT(written[9 * top_k - 1], 0.0f);
  for (int64_t i = 9 * top_k; i < m * top_k; ++i) EXPECT_EQ(written[i], 0.0f);
}

TEST(GroupByExpertTest, RangesAreTheReferences) {
  Random random(2);
  const int64_t m = 100, top_k = 4, experts = 7, begin = 5;
  std::vector<int32_t> ids(m * top_k);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % 16);
  const CardArray<int32_t> card_ids(ids), offsets(experts + 1), row_index(m * top_k),
      pair_to_row(std::vector<int32_t>(m * top_k, 99));  // all are written
  GroupByExpert({.ids = card_ids.data(),
                 .m = m,
                 .top_k = top_k,
                 .expert_begin = begin,
                 .experts = experts,
                 .offsets = offsets.data(),
                 .row_index = row_index.data(),
                 .pair_to_row = pair_to_row.data()},
                {});
  CardWait();
  std::vector<int32_t> expected_offsets(experts + 1), expected_index(m * top_k), expected_pairs(m * top_k);
  reference::GroupByExpert({ids.data(), m, top_k, begin, experts, expected_offsets.data(),
                            expected_index.data(), expected_pairs.data()});
  EXPECT_EQ(offsets.Read(), expected_offsets);
  EXPECT_EQ(pair_to_row.Read(), expected_pairs);
  const std::vector<int32_t> index = row_index.Read();
  for (int32_t r = 0; r < expected_offsets.back(); ++r) EXPECT_EQ(index[r], expected_index[r]);
  EXPECT_EQ(index[expected_offsets.back()], -1);  // nothing beyond: still what it was filled with
}

// Rows, and what their sum is added to, as T.
template <class T>
void CheckCombine() {
  Random random(4);
  const int64_t m = 5, cols = 264, top_k = 3, rows = 9;
  const auto values = [&](int64_t count) {
    std::vector<T> all;
    for (const bf16 value : NormalBF16(count, random)) all.push_back(FromFloat<T>(ToFloat(value) * 1.001f));
    return all;
  };
  const std::vector<T> y = values(rows * cols), add = values(m * cols);
  const DType type = sizeof(T) == 2 ? DType::kBF16 : DType::kF32;
  const std::vector<float> weights = UniformFloats(m * top_k, random, 0.0f, 1.0f);
  const std::vector<int32_t> pairs = {0, -1, 8, 3, 4, 5, -1, -1, -1, 7, 7, 1, 2, 6, -1};
  const CardArray<T> card_y(y), card_add(add);
  const CardArray<float> card_weights(weights), out(m * cols);
  const CardArray<int32_t> card_pairs(pairs);
  for (bool with_add : {true, false}) {
    Combine({{card_y.data(), type, rows, cols, cols},
             card_pairs.data(),
             card_weights.data(),
             top_k,
             {with_add ? card_add.data() : nullptr, type, m, cols, cols},
             {out.data(), DType::kF32, m, cols, cols}},
            {});
    CardWait();
    const std::vector<float> actual = out.Read();
    for (int64_t t = 0; t < m; ++t) {
      std::vector<double> expected(cols, 0.0);
      for (int64_t c = 0; c < cols; ++c) {
        if (with_add) expected[c] = static_cast<double>(ToFloat(add[t * cols + c]));
        for (int64_t k = 0; k < top_k; ++k) {
          const int32_t row = pairs[t * top_k + k];
          if (row >= 0)
            expected[c] +=
                static_cast<double>(weights[t * top_k + k]) * static_cast<double>(ToFloat(y[row * cols + c]));
        }
      }
      SCOPED_TRACE(t);
      ExpectRow(actual.data() + t * cols, expected, 1e-6);
    }
  }
}

TEST(CombineTest, AgreesWithReference) {
  CheckCombine<bf16>();
  CheckCombine<float>();
}

TEST(CombineTest, SaysWhatItDoesNotTake) {
  const CombineArgs good = {.y = {nullptr, DType::kF32, 1, 16, 16}, .out = {nullptr, DType::kF32, 1, 16, 16}};
  EXPECT_EQ(WhyNotCombine(good), nullptr);
  CombineArgs args = good;
  float add = 0;
  args.add = {&add, DType::kBF16, 1, 16, 16};
  EXPECT_STREQ(WhyNotCombine(args), "what it adds to is of another type than the rows");
  args = good;
  args.y.stride = 20;
  EXPECT_STREQ(WhyNotCombine(args), "its columns or strides are no multiples of 8");
}

TEST(MlaPrepareTest, NormsRotatesAndKeeps) {
  Random random(5);
  const int64_t m = 4, heads = 3, q_stride = 70, offset = 4, kv_stride = kLatent + kRope + 2, tokens = 6;
  const std::vector<bf16> kv = NormalBF16(m * kv_stride, random),
                          q = NormalBF16(m * heads * q_stride, random);
  const std::vector<float> weight = UniformFloats(kLatent, random, 0.5f, 2.0f),
                           cos = UniformFloats(50 * 32, random, -1.0f, 1.0f),
                           sin = UniformFloats(50 * 32, random, -1.0f, 1.0f);
  const std::vector<int32_t> positions = {49, 0, 7, 3};
  const std::vector<int64_t> slots = {5, 0, -1, 2};
  const CardArray<bf16> card_kv(kv), card_q(q), cache(tokens * (kLatent + kRope));
  const CardArray<float> card_weight(weight), card_cos(cos), card_sin(sin);
  const CardArray<int32_t> card_positions(positions);
  const CardArray<int64_t> card_slots(slots);
  MlaPrepare({.kv = {card_kv.data(), DType::kBF16, m, kLatent + kRope, kv_stride},
              .latent_dim = kLatent,
              .norm_weight = card_weight.data(),
              .eps = 1e-6f,
              .q = {card_q.data(), DType::kBF16, m, heads * q_stride, heads * q_stride},
              .heads = heads,
              .q_head_stride = q_stride,
              .q_rope_offset = offset,
              .positions = card_positions.data(),
              .cos = card_cos.data(),
              .sin = card_sin.data(),
              .slots = card_slots.data(),
              .cache = cache.data()},
             {});
  CardWait();
  const std::vector<bf16> rotated = card_q.Read(), entries = cache.Read();
  const auto value = [](bf16 b) { return static_cast<double>(ToFloat(b)); };
  const auto rotate = [&](const bf16* from, int64_t position) {
    std::vector<double> out;
    for (int64_t i = 0; i < 32; ++i) {
      const double c = static_cast<double>(cos[position * 32 + i]),
                   s = static_cast<double>(sin[position * 32 + i]);
      out.push_back(value(from[2 * i]) * c - value(from[2 * i + 1]) * s);
      out.push_back(value(from[2 * i]) * s + value(from[2 * i + 1]) * c);
    }
    return out;
  };
  for (int64_t r = 0; r < m; ++r) {
    SCOPED_TRACE(r);
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t at = r * heads * q_stride + h * q_stride;
      ExpectRow(rotated.data() + at + offset, rotate(q.data() + at + offset, positions[r]), 1e-6);
      for (int64_t i = 0; i < q_stride; ++i) {
        if (i < offset || i >= offset + kRope) {
          ASSERT_EQ(rotated[at + i].bits, q[at + i].bits);
        }
      }
    }
    if (slots[r] < 0) continue;
    const bf16* const latent = kv.data() + r * kv_stride;
    double squares = 0;
    for (int64_t c = 0; c < kLatent; ++c) squares += value(latent[c]) * value(latent[c]);
    std::vector<double> expected;
    for (int64_t c = 0; c < kLatent; ++c) {
      expected.push_back(value(latent[c]) / std::sqrt(squares / kLatent + 1e-6) *
                         static_cast<double>(weight[c]));
    }
    ExpectRow(entries.data() + slots[r] * (kLatent + kRope), expected, 1e-6);
    ExpectRow(entries.data() + slots[r] * (kLatent + kRope) + kLatent, rotate(latent + kLatent, positions[r]),
              1e-6);
  }
  for (int64_t slot : {1, 3, 4}) EXPECT_EQ(entries[slot * (kLatent + kRope)].bits, 0xffff);
}

}  // namespace
}  // namespace deeprack::kernels::sm90
