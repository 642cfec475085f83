#include "kernels/cuda/sm90/dispatch.h"

#include <cstring>

#include "kernels/cuda/sm90/quantise.h"
#include "kernels/reference/reference.h"
#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {
namespace {

struct Shape {
  int64_t m, top_k, groups, group_ranks, group_experts, slots;
  int64_t ranks() const { return groups * group_ranks; }
  int64_t fanout() const { return std::min(top_k, groups) * group_ranks; }
};

// Choices as a gate makes them: different experts, and sometimes none.
std::vector<int32_t> Choices(const Shape& shape, Random& random) {
  std::vector<int32_t> ids;
  const int64_t experts = shape.groups * shape.group_experts;
  for (int64_t t = 0; t < shape.m; ++t) {
    const auto begin = static_cast<std::ptrdiff_t>(ids.size());
    while (std::ssize(ids) < begin + shape.top_k) {
      const auto id = static_cast<int32_t>(random() % static_cast<uint64_t>(experts));
      if (std::find(ids.begin() + begin, ids.end(), id) == ids.end()) ids.push_back(id);
    }
    if (t % 7 == 3) std::fill(ids.begin() + begin, ids.end(), -1);
  }
  return ids;
}

PlanDispatchArgs Args(const Shape& shape, const int32_t* ids, int32_t* index, int64_t* rows_to) {
  return {.ids = ids,
          .m = shape.m,
          .top_k = shape.top_k,
          .ranks = shape.ranks(),
          .group_ranks = shape.group_ranks,
          .group_experts = shape.group_experts,
          .fanout = shape.fanout(),
          .slots = shape.slots,
          .index = index,
          .rows_to = rows_to};
}

// R1 over 8, 32 and 256 ranks, parts of experts over ranks, places in slots, and no rows at all.
TEST(DispatchTest, PlansAreTheReferences) {
  Random random(1);
  for (const Shape& shape : {Shape{300, 8, 8, 1, 32, 0}, Shape{128, 8, 32, 1, 8, 0},
                             Shape{257, 8, 256, 1, 1, 0}, Shape{90, 4, 3, 2, 5, 0},
                             Shape{64, 8, 8, 1, 32, 64}, Shape{5, 3, 2, 3, 4, 9}, Shape{0, 8, 8, 1, 32, 0}}) {
    const std::vector<int32_t> ids = Choices(shape, random);
    const auto places = static_cast<size_t>(shape.m * shape.fanout());
    const auto ranks = static_cast<size_t>(shape.ranks());
    const CardArray<int32_t> card_ids(ids), index(std::vector<int32_t>(places, 99));
    const CardArray<int64_t> rows_to(std::vector<int64_t>(ranks, 99));
    const PlanDispatchArgs args = Args(shape, card_ids.data(), index.data(), rows_to.data());
    ASSERT_EQ(WhyNotPlanDispatch(args), nullptr);
    PlanDispatch(args, {});
    CardWait();
    std::vector<int32_t> expected_index(places);
    std::vector<int64_t> expected_rows(ranks);
    reference::PlanDispatch(Args(shape, ids.data(), expected_index.data(), expected_rows.data()));
    EXPECT_EQ(index.Read(), expected_index) << shape.groups << " groups";
    EXPECT_EQ(rows_to.Read(), expected_rows) << shape.groups << " groups";
  }
  EXPECT_STREQ(WhyNotPlanDispatch({.ranks = 257, .group_ranks = 1}),
               "there are more than 256 groups of ranks");
}

// Rows that travel as they are, and rounded: then all that a gather of rounded rows would have given.
TEST(DispatchTest, RowsTravelAsTheyAreAndRounded) {
  constexpr int64_t kTokens = 6, kCols = 272, kRounded = 9, kFirst = 2, kTopK = 3, kFanout = 2;
  const int64_t blocks = (kCols + 127) / 128;
  Random random(2);
  const std::vector<bf16> x = NormalBF16(kRounded * kCols, random);
  const std::vector<float> weights = UniformFloats(kTokens * kTopK, random, 0.0f, 1.0f);
  std::vector<int32_t> ids(kTokens * kTopK);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % 64);
  const std::vector<int32_t> places = {3, 7, 0, -1, 8, 1, -1, -1, 2, 4, 5, 6};
  const RoundedRowsLayout layout = RoundedRowsLayoutOf(kRounded, kCols);
  const CardArray<bf16> card_x(x);
  const CardArray<std::byte> rounded(static_cast<size_t>(layout.bytes));
  Quantise({.x = {card_x.data(), DType::kBF16, kRounded, kCols, kCols},
            .rows = kRounded,
            .out = {.data = reinterpret_cast<fp8_e4m3*>(rounded.data()),
                    .stride = layout.stride,
                    .scales = reinterpret_cast<float*>(rounded.data() + layout.scales),
                    .scale_stride = layout.scale_stride,
                    .sums = reinterpret_cast<float*>(rounded.data() + layout.sums)}},
           {});
  CardWait();
  const std::vector<std::byte> rounded_bytes = rounded.Read();
  const CardArray<float> card_weights(weights);
  const CardArray<int32_t> card_ids(ids), index(places);
  for (const bool travels_rounded : {false, true}) {
    const RoundedRowLayout row = RoundedRowLayoutOf(kCols);
    const int64_t activation_bytes = travels_rounded ? row.bytes : kCols * 2;
    const int64_t row_bytes = (activation_bytes + kTopK * 8 + 63) / 64 * 64;
    const CardArray<std::byte> send(static_cast<size_t>(9 * row_bytes));
    PackDispatchArgs args = {.x = {card_x.data() + kFirst * kCols, DType::kBF16, kTokens, kCols, kCols},
                             .ids = card_ids.data(),
                             .weights = card_weights.data(),
                             .top_k = kTopK,
                             .index = index.data(),
                             .fanout = kFanout,
                             .send = send.data(),
                             .row_bytes = row_bytes};
    if (travels_rounded) args.rounded = {.memory = rounded.data(), .rows = kRounded, .first = kFirst};
    ASSERT_EQ(WhyNotPackDispatch(args), nullptr);
    PackDispatch(args, {});
    CardWait();
    const std::vector<std::byte> sent = send.Read();
    int64_t seen = 0;
    for (int64_t i = 0; i < kTokens * kFanout; ++i) {
      if (places[static_cast<size_t>(i)] < 0) continue;
      ++seen;
      const int64_t token = i / kFanout, source = kFirst + token;
      std::vector<std::byte> expected(static_cast<size_t>(row_bytes), std::byte{0xff});
      const auto put = [&](int64_t at, const void* from, int64_t bytes) {
        std::memcpy(expected.data() + at, from, static_cast<size_t>(bytes));
      };
      if (travels_rounded) {
        put(0, rounded_bytes.data() + source * layout.stride, kCols);
        for (int64_t b = 0; b < blocks; ++b) {
          const int64_t at = (b * layout.scale_stride + source) * 4;
          put(row.scales + b * 4, rounded_bytes.data() + layout.scales + at, 4);
          put(row.sums + b * 4, rounded_bytes.data() + layout.sums + at, 4);
        }
      } else {
        put(0, x.data() + source * kCols, kCols * 2);
      }
      put(activation_bytes, ids.data() + token * kTopK, kTopK * 4);
      put(activation_bytes + kTopK * 4, weights.data() + token * kTopK, kTopK * 4);
      const auto begin = sent.begin() + places[static_cast<size_t>(i)] * row_bytes;
      EXPECT_EQ(std::vector(begin, begin + row_bytes), expected) << "token " << token;
    }
    EXPECT_EQ(seen, 9);
  }
  EXPECT_STREQ(WhyNotPackDispatch({.row_bytes = 24}), "the places of rows are not aligned to 16 bytes");
}

}  // namespace
}  // namespace deeprack::kernels::sm90
