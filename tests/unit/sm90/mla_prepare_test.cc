// The kernels that make latent attention's fp8 entries and queries.
#include "kernels/cuda/sm90/mla_prepare.h"

#include <algorithm>

#include "base/e4m3.h"
#include "kernels/cuda/sm90/mla.h"
#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {
namespace {

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
                      .latent_dim = kLatent,
                      .norm_weight = weight.data(),
                      .eps = 1e-6f,
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
  args.cache = narrow.data();
  args.cache_type = DType::kF8E4M3;
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
    const auto* const rope = reinterpret_cast<const bf16*>(entry + kLatent);
    for (int64_t c = 0; c < kLatent; ++c)
      ASSERT_EQ(entry[c], ToE4M3(ToFloat(expected[c]) / *scale).bits) << at << " " << c;
    for (int64_t c = 0; c < kRope; ++c)
      ASSERT_EQ(ToFloat(rope[c]) * *scale, ToFloat(expected[kLatent + c])) << at << " " << c;
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
      ASSERT_EQ(ToFloat(ropes[i * kRope + c]) * scale[i], ToFloat(exact)) << i << " " << c;
    }
  }
}

}  // namespace
}  // namespace deeprack::kernels::sm90
