// Routing: the gate, grouping by expert, and the experts' sum.
#include "tests/unit/kernels/kernel_test.h"

namespace deeprack::kernels {
namespace {

struct Choice {
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

template <class Run>
Choice RunGate(GateArgs args, const std::vector<float>& logits, const std::vector<float>& bias, Run run) {
  Choice choice{std::vector<int32_t>(args.m * args.top_k, -7),
                std::vector<float>(args.m * args.top_k, -7.0f)};
  args.logits = logits.data();
  args.bias = bias.empty() ? nullptr : bias.data();
  args.ids = choice.ids.data();
  args.weights = choice.weights.data();
  run(args);
  return choice;
}

class MoeTest : public KernelTest {
 protected:
  Choice Gate(const GateArgs& args, const std::vector<float>& logits, const std::vector<float>& bias) {
    return RunGate(args, logits, bias, [&](const GateArgs& a) { kernels().gate(a, execution()); });
  }
  static Choice Expected(const GateArgs& args, const std::vector<float>& logits,
                         const std::vector<float>& bias) {
    return RunGate(args, logits, bias, [](const GateArgs& a) { reference::Gate(a); });
  }
};
DEEPRACK_INSTANTIATE_KERNEL_TEST(MoeTest);

TEST_P(MoeTest, GateAgreesWithReference) {
  Random random(41);
  for (bool normalise : {true, false}) {
    for (const GateArgs& args :
         {GateArgs{.m = 50, .experts = 256, .n_group = 8, .topk_group = 4, .top_k = 8},
          GateArgs{.m = 20, .experts = 24, .n_group = 4, .topk_group = 2, .top_k = 3},
          GateArgs{.m = 20, .experts = 7, .n_group = 1, .topk_group = 1, .top_k = 7},
          GateArgs{.m = 20, .experts = 6, .n_group = 6, .topk_group = 5, .top_k = 2}}) {
      GateArgs gate = args;
      gate.norm_topk_prob = normalise;
      gate.routed_scaling_factor = 2.5f;
      const std::vector<float> logits = NormalValues(gate.m * gate.experts, random, 2.0f);
      const std::vector<float> bias = NormalValues(gate.experts, random, 0.1f);
      const Choice actual = Gate(gate, logits, bias), expected = Expected(gate, logits, bias);
      EXPECT_EQ(actual.ids, expected.ids);
      for (size_t i = 0; i < actual.weights.size(); ++i) {
        EXPECT_NEAR(actual.weights[i], expected.weights[i], 1e-6f * expected.weights[i]);
      }
    }
  }
}

TEST_P(MoeTest, GateBreaksTiesByLowerIndex) {
  const GateArgs args{.m = 2, .experts = 16, .n_group = 4, .topk_group = 2, .top_k = 4};
  const Choice choice = Gate(args, std::vector<float>(32, 0.25f), std::vector<float>(16, 0.0f));
  EXPECT_EQ(choice.ids, (std::vector<int32_t>{0, 1, 2, 3, 0, 1, 2, 3}));
  for (float weight : choice.weights) EXPECT_FLOAT_EQ(weight, 0.25f);
}

TEST_P(MoeTest, GateSelectsByBiasAndWeighsWithout) {
  // Group 1's biased pair beats group 0's single best; inside it the bias decides, the score weighs.
  const GateArgs args{
      .m = 1, .experts = 4, .n_group = 2, .topk_group = 1, .top_k = 1, .norm_topk_prob = false};
  const Choice choice = Gate(args, {3.0f, -9.0f, 1.0f, 0.0f}, {0.0f, 0.0f, 0.0f, 0.9f});
  EXPECT_EQ(choice.ids[0], 3);
  EXPECT_FLOAT_EQ(choice.weights[0], 0.5f);
}

TEST_P(MoeTest, GateOfNaNStillNamesDistinctExperts) {
  const GateArgs args{.m = 1, .experts = 8, .n_group = 2, .topk_group = 1, .top_k = 4};
  const Choice choice = Gate(args, std::vector<float>(8, std::nanf("")), {});
  std::vector<int32_t> ids = choice.ids;
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
  EXPECT_GE(ids.front(), 0);
  EXPECT_LT(ids.back(), 8);
}

TEST_P(MoeTest, RowsBeyondTheCountChooseNobody) {
  Random random(44);
  const std::vector<int32_t> count = {2};
  const GateArgs all{.m = 4, .experts = 8, .n_group = 2, .topk_group = 1, .top_k = 2};
  GateArgs some = all;
  some.row_count = count.data();
  const std::vector<float> logits = NormalValues(4 * 8, random);
  const Choice of_all = Gate(all, logits, {}), of_some = Gate(some, logits, {});
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(of_some.ids[i], i < 4 ? of_all.ids[i] : -1);
    EXPECT_EQ(of_some.weights[i], i < 4 ? of_all.weights[i] : 0.0f);
  }
}

TEST_P(MoeTest, GroupsByExpertInTokenOrder) {
  Random random(42);
  for (int64_t m : {0, 1, 60}) {
    const int64_t top_k = 3, all = 20;
    std::vector<int32_t> ids;
    for (int64_t t = 0; t < m; ++t) {
      std::vector<int32_t> experts(all);
      for (int32_t e = 0; e < all; ++e) experts[e] = e;
      std::shuffle(experts.begin(), experts.end(), random);
      ids.insert(ids.end(), experts.begin(), experts.begin() + top_k);
    }
    for (int64_t begin : {0, 5, 16}) {
      const int64_t experts = 4;
      struct Grouping {
        std::vector<int32_t> offsets, rows, pairs;
      } actual{std::vector<int32_t>(experts + 1, -9), std::vector<int32_t>(m * top_k, -9),
               std::vector<int32_t>(m * top_k, -9)};
      Grouping expected = actual;
      const auto args = [&](Grouping& g) {
        return GroupByExpertArgs{ids.data(),    m, top_k, begin, experts, g.offsets.data(), g.rows.data(),
                                 g.pairs.data()};
      };
      kernels().group_by_expert(args(actual), execution());
      reference::GroupByExpert(args(expected));
      EXPECT_EQ(actual.offsets, expected.offsets);
      EXPECT_EQ(actual.rows, expected.rows);
      EXPECT_EQ(actual.pairs, expected.pairs);
    }
  }
}

TEST_P(MoeTest, CombineAgreesWithReferenceAndSkipsAbsentExperts) {
  Random random(43);
  const int64_t m = 9, top_k = 4, d = 70, rows = 20;
  std::vector<int32_t> pair_to_row(m * top_k);
  std::vector<float> weights = NormalValues(m * top_k, random);
  for (size_t i = 0; i < pair_to_row.size(); ++i) {
    pair_to_row[i] = random() % 3 == 0 ? -1 : static_cast<int32_t>(random() % rows);
    if (pair_to_row[i] < 0)
      weights[i] = std::nanf("");  // an absent expert's weight must not be read into the sum
  }
  for (DType type : {DType::kF32, DType::kBF16}) {
    const TestMatrix y = TestMatrix::Normal(type, rows, d, random),
                     add = TestMatrix::Normal(type, m, d, random);
    for (const Matrix& start : {add.view(), Matrix{}}) {
      TestMatrix out(type, m, d), expected(DType::kF32, m, d), alone(type, 1, d);
      kernels().combine({y.view(), pair_to_row.data(), weights.data(), top_k, start, out.view()},
                        execution());
      reference::Combine({y.view(), pair_to_row.data(), weights.data(), top_k, start, expected.view()});
      ExpectClose(out, expected, 1e-6);
      const Matrix last = start.data != nullptr ? add.Rows(m - 1, 1) : Matrix{};
      kernels().combine({y.view(), pair_to_row.data() + (m - 1) * top_k, weights.data() + (m - 1) * top_k,
                         top_k, last, alone.view()},
                        {});
      EXPECT_EQ(alone.RowBytes(0), out.RowBytes(m - 1));
    }
  }
}

// Two ranks for each of five groups of four experts: plan, pack, and at the other end unpack. Rows follow
// each other, or lie in as many slots for every rank as there are tokens.
TEST_P(MoeTest, RowsTravelToEveryRankOfTheirGroups) {
  Random random(45);
  const int64_t top_k = 3, ranks = 10, fanout = 6, d = 6, row_bytes = 64;
  for (const auto& [m, slots] : std::vector<std::pair<int64_t, int64_t>>{{1, 0}, {50, 0}, {1, 2}, {50, 50}}) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < m * top_k; ++i) ids.push_back(static_cast<int32_t>(random() % 21) - 1);
    for (int64_t c = 0; m > 1 && c < top_k; ++c) ids[7 * top_k + c] = -1;  // a token that chooses no expert
    const std::vector<float> weights = NormalValues(m * top_k, random);
    struct Plan {
      std::vector<int32_t> index;
      std::vector<int64_t> rows_to;
    } actual{std::vector<int32_t>(m * fanout, -9), std::vector<int64_t>(ranks, -9)};
    Plan expected = actual;
    const auto args = [&](Plan& plan) {
      return PlanDispatchArgs{.ids = ids.data(),
                              .m = m,
                              .top_k = top_k,
                              .ranks = ranks,
                              .group_ranks = 2,
                              .group_experts = 4,
                              .fanout = fanout,
                              .slots = slots,
                              .index = plan.index.data(),
                              .rows_to = plan.rows_to.data()};
    };
    kernels().plan_dispatch(args(actual), execution());
    reference::PlanDispatch(args(expected));
    EXPECT_EQ(actual.index, expected.index);
    EXPECT_EQ(actual.rows_to, expected.rows_to);

    for (DType type : {DType::kF32, DType::kBF16}) {
      const TestMatrix x = TestMatrix::Normal(type, m, d, random);
      int64_t sent = slots * ranks;
      for (const int64_t rows : actual.rows_to) sent += slots > 0 ? 0 : rows;
      std::vector<uint8_t> buffer(sent * row_bytes, 0xee);
      kernels().pack_dispatch({x.view(), ids.data(), weights.data(), top_k, actual.index.data(), fanout,
                               buffer.data(), row_bytes},
                              execution());
      const int64_t activation_bytes = d * static_cast<int64_t>(SizeOf(type));
      std::vector<int32_t> received_ids(sent * top_k, -9);
      std::vector<float> received_weights(sent * top_k);
      kernels().unpack_dispatch({.received = buffer.data(),
                                 .m = sent,
                                 .row_bytes = row_bytes,
                                 .activation_bytes = activation_bytes,
                                 .top_k = top_k,
                                 .slots = slots,
                                 .rows_from = slots > 0 ? actual.rows_to.data() : nullptr,
                                 .ids = received_ids.data(),
                                 .weights = received_weights.data()},
                                execution());
      int64_t rows = 0;
      for (int64_t i = 0; i < m * fanout; ++i) {
        const int64_t place = actual.index[i], token = i / fanout;
        if (place < 0) continue;
        ++rows;
        const char* row = reinterpret_cast<const char*>(buffer.data()) + place * row_bytes;
        EXPECT_EQ(std::string(row, activation_bytes), x.RowBytes(token));
        for (int64_t c = 0; c < top_k; ++c) {
          EXPECT_EQ(received_ids[place * top_k + c], ids[token * top_k + c]);
          EXPECT_EQ(received_weights[place * top_k + c], weights[token * top_k + c]);
        }
        EXPECT_EQ(static_cast<uint8_t>(row[row_bytes - 1]), 0xee);
      }
      // A row that no rank filled chooses no expert.
      EXPECT_EQ(std::count(received_ids.begin(), received_ids.end(), -9), 0);
      int64_t empty = 0;
      for (int64_t place = 0; place < sent; ++place) {
        const int32_t* of_row = received_ids.data() + place * top_k;
        empty += std::all_of(of_row, of_row + top_k, [](int32_t id) { return id == -1; });
      }
      EXPECT_EQ(empty, sent - rows);
    }
  }
}

}  // namespace
}  // namespace deeprack::kernels
