// Rope, cache writes and multi-head latent attention over pages.
#include <span>

#include "base/fp8_kv_page.h"
#include "tests/unit/kernels/kernel_test.h"

namespace deeprack::kernels {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kBF16};
constexpr DType kCacheTypes[] = {DType::kF32, DType::kBF16, DType::kF8E4M3};
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// A cache whose slots are all NaN until written, and sequences with pages in shuffled order.
struct PagedCache {
  PagedCache(DType type, int64_t latent_dim, int64_t rope_dim, int64_t pages)
      : type(type),
        latent_dim(latent_dim),
        rope_dim(rope_dim),
        pages(pages),
        storage(type == DType::kF8E4M3
                    ? TestMatrix(DType::kU8, pages, Fp8KvPage{latent_dim, rope_dim}.bytes(), 0)
                    : TestMatrix(type, pages * kPageTokens, latent_dim + rope_dim, 0)) {}

  // Pages for `tokens` positions, drawn in random order; the table ends in ids that do not exist.
  std::vector<BlockId> MakeTable(int64_t tokens, Random& random) {
    if (free.empty()) {
      for (BlockId page = 0; page < pages; ++page) free.push_back(page);
      std::shuffle(free.begin(), free.end(), random);
    }
    std::vector<BlockId> table;
    for (int64_t t = 0; t < tokens; t += kPageTokens) {
      table.push_back(free.back());
      free.pop_back();
    }
    table.push_back(1 << 30);
    return table;
  }

  void Fill(const std::vector<BlockId>& table, int64_t tokens, Random& random) {
    const int64_t width = latent_dim + rope_dim;
    std::vector<float> values = NormalValues(tokens * width, random);
    const Matrix latent{values.data(), DType::kF32, tokens, latent_dim, width};
    Fill(table, latent, {values.data() + latent_dim, DType::kF32, tokens, rope_dim, width});
  }
  void Fill(const std::vector<BlockId>& table, const Matrix& latent, const Matrix& rope) {
    std::vector<int64_t> slots;
    for (int64_t t = 0; t < latent.rows; ++t)
      slots.push_back(int64_t{table[t / kPageTokens]} * kPageTokens + t % kPageTokens);
    reference::KvWrite({latent, rope, slots.data(), storage.view().data, type});
  }

  DType type;
  int64_t latent_dim, rope_dim, pages;
  TestMatrix storage;
  std::vector<BlockId> free;
};

// Queries of one batch; rope values lie beside q_nope, as the decoder's projection leaves them.
struct Queries {
  Queries(DType type, int64_t rows, int64_t heads, int64_t latent_dim, int64_t rope_dim, Random& random)
      : heads(heads),
        latent_dim(latent_dim),
        rope_dim(rope_dim),
        latent(TestMatrix::Normal(type, rows, heads * latent_dim, random, 0.4f)),
        rope(TestMatrix::Normal(type, rows, heads * (kNope + rope_dim), random, 0.4f)) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t c = 0; c < kNope; ++c) reference::Set(rope.view(), r, h * (kNope + rope_dim) + c, kNaN);
      }
    }
  }

  MlaAttentionArgs Args(const PagedCache& cache, int64_t first, int64_t rows,
                        const AttentionSequence* sequences, int64_t num_sequences, const Matrix& out) const {
    return {.q_latent = latent.Rows(first, rows),
            .q_rope = rope.Rows(first, rows),
            .q_rope_head_stride = kNope + rope_dim,
            .q_rope_offset = kNope,
            .heads = heads,
            .latent_dim = latent_dim,
            .rope_dim = rope_dim,
            .scale = 0.3f,
            .cache = cache.storage.view().data,
            .cache_type = cache.type,
            .sequences = sequences,
            .num_sequences = num_sequences,
            .out = out};
  }

  static constexpr int64_t kNope = 6;
  int64_t heads, latent_dim, rope_dim;
  TestMatrix latent, rope;
};

class AttentionTest : public KernelTest {
 protected:
  void ExpectReferenceOver(std::span<const DType> cache_types, Random random) const;
};
DEEPRACK_INSTANTIATE_KERNEL_TEST(AttentionTest);

void AttentionTest::ExpectReferenceOver(std::span<const DType> cache_types, Random random) const {
  struct Shape {
    int64_t heads, latent_dim, rope_dim;
  };
  for (const Shape& shape : {Shape{7, 512, 64}, Shape{3, 24, 8}, Shape{1, 16, 16}, Shape{8, 10, 2},
                             Shape{9, 130, 6}, Shape{2, 21, 4}}) {
    for (DType cache_type : cache_types) {
      PagedCache cache(cache_type, shape.latent_dim, shape.rope_dim, 16);
      // A decode deep in its second page, a chunk that crosses a page, a whole short prompt, one at a page's
      // first slot.
      const std::vector<BlockId> tables[4] = {cache.MakeTable(101, random), cache.MakeTable(75, random),
                                              cache.MakeTable(5, random), cache.MakeTable(65, random)};
      cache.Fill(tables[0], 101, random);
      cache.Fill(tables[1], 75, random);
      cache.Fill(tables[2], 5, random);
      cache.Fill(tables[3], 65, random);
      const AttentionSequence sequences[4] = {{0, 1, 100, tables[0].data()},
                                              {1, 20, 55, tables[1].data()},
                                              {21, 5, 0, tables[2].data()},
                                              {26, 1, 64, tables[3].data()}};
      for (DType type : kTypes) {
        const Queries queries(type, 27, shape.heads, shape.latent_dim, shape.rope_dim, random);
        TestMatrix out(type, 27, shape.heads * shape.latent_dim),
            expected(DType::kF32, 27, shape.heads * shape.latent_dim);
        kernels().mla_attention(queries.Args(cache, 0, 27, sequences, 4, out.view()), execution());
        SCOPED_TRACE(testing::Message() << "heads " << shape.heads << " latent " << shape.latent_dim
                                        << " cache " << Name(cache_type) << " q " << Name(type));
        ExpectAttention(kernels(), reference::MlaAttention,
                        queries.Args(cache, 0, 27, sequences, 4, expected.view()), type, out, expected);
      }
    }
  }
}

TEST_P(AttentionTest, AgreesWithReference) { ExpectReferenceOver(kTypes, Random(31)); }

TEST_P(AttentionTest, AgreesWithReferenceOverAnFp8Cache) {
  constexpr DType kFp8[] = {DType::kF8E4M3};
  ExpectReferenceOver(kFp8, Random(38));
}

TEST_P(AttentionTest, ResultDoesNotDependOnChunkingOrBatch) {
  Random random(32);
  const int64_t heads = 10, latent_dim = 40, rope_dim = 8, tokens = 200;
  const std::pair<DType, DType> query_and_cache[] = {{DType::kF32, DType::kF32},
                                                     {DType::kBF16, DType::kBF16},
                                                     {DType::kF32, DType::kF8E4M3},
                                                     {DType::kBF16, DType::kF8E4M3}};
  for (const auto& [type, cache_type] : query_and_cache) {
    PagedCache cache(cache_type, latent_dim, rope_dim, 8);
    const std::vector<BlockId> table = cache.MakeTable(tokens, random),
                               other_table = cache.MakeTable(90, random);
    cache.Fill(table, tokens, random);
    cache.Fill(other_table, 90, random);
    const Queries queries(type, tokens, heads, latent_dim, rope_dim, random);
    TestMatrix whole(type, tokens, heads * latent_dim);
    const AttentionSequence all{0, tokens, 0, table.data()};
    kernels().mla_attention(queries.Args(cache, 0, tokens, &all, 1, whole.view()), execution());
    for (int32_t chunk : {1, 7, 64}) {
      TestMatrix chunked(type, tokens, heads * latent_dim);
      for (int32_t first = 0; first < tokens; first += chunk) {
        const int32_t rows = std::min<int32_t>(chunk, tokens - first);
        const AttentionSequence part{0, rows, first, table.data()};
        kernels().mla_attention(queries.Args(cache, first, rows, &part, 1, chunked.Rows(first, rows)),
                                execution());
      }
      EXPECT_EQ(chunked.AllBytes(), whole.AllBytes()) << "chunks of " << chunk;
    }
    // Beside another sequence, which takes the last 30 rows, and without a pool.
    TestMatrix mixed(type, tokens, heads * latent_dim);
    const AttentionSequence both[2] = {{0, 170, 0, table.data()}, {170, 30, 60, other_table.data()}};
    kernels().mla_attention(queries.Args(cache, 0, tokens, both, 2, mixed.view()), {});
    for (int64_t r = 0; r < 170; ++r) ASSERT_EQ(mixed.RowBytes(r), whole.RowBytes(r)) << r;
  }
}

TEST_P(AttentionTest, BackendsGiveTheSameBits) {
  Random random(33);
  for (const DType cache_type : {DType::kBF16, DType::kF8E4M3}) {
    PagedCache cache(cache_type, 48, 16, 4);
    const std::vector<BlockId> table = cache.MakeTable(150, random);
    cache.Fill(table, 150, random);
    const Queries queries(DType::kF32, 30, 5, 48, 16, random);
    const AttentionSequence sequence{0, 30, 120, table.data()};
    TestMatrix out(DType::kF32, 30, 5 * 48), generic(DType::kF32, 30, 5 * 48);
    kernels().mla_attention(queries.Args(cache, 0, 30, &sequence, 1, out.view()), execution());
    AvailableCpuKernels().front()->mla_attention(queries.Args(cache, 0, 30, &sequence, 1, generic.view()),
                                                 execution());
    EXPECT_EQ(out.AllBytes(), generic.AllBytes());
  }
}

// Tokens of zeros, of tiny and of huge values side by side: an fp8 cache is a bf16 one of its entries'
// values.
TEST_P(AttentionTest, AnFp8CacheGivesTheBitsOfItsValues) {
  Random random(37);
  constexpr int64_t kLatent = 37, kRope = 6, kTokens = 150, kHeads = 5;
  TestMatrix latent = TestMatrix::Normal(DType::kF32, kTokens, kLatent, random),
             rope = TestMatrix::Normal(DType::kF32, kTokens, kRope, random);
  for (int64_t t = 0; t < kTokens; ++t) {
    const double factor = t % 7 == 0 ? 0 : std::ldexp(1.0, static_cast<int>(t % 60) - 50);
    for (int64_t c = 0; c < kLatent; ++c) reference::Set(latent.view(), t, c, latent.at(t, c) * factor);
  }
  PagedCache narrow(DType::kF8E4M3, kLatent, kRope, 4), wide(DType::kBF16, kLatent, kRope, 4);
  const std::vector<BlockId> table = narrow.MakeTable(kTokens, random);
  narrow.Fill(table, latent.view(), rope.view());
  const Fp8KvPage layout = {kLatent, kRope};
  for (int64_t t = 0; t < kTokens; ++t) {
    const int64_t slot = int64_t{table[t / kPageTokens]} * kPageTokens + t % kPageTokens;
    const auto* const bytes = static_cast<const uint8_t*>(narrow.storage.view().data);
    float scale;
    std::memcpy(&scale, bytes + layout.ScaleAt(slot), sizeof(scale));
    for (int64_t c = 0; c < kLatent + kRope; ++c) {
      bf16 value;
      std::memcpy(&value, bytes + layout.EntryAt(slot) + layout.rope_begin() + 2 * (c - kLatent),
                  sizeof(value));
      const float stored = c < kLatent ? ToFloat(fp8_e4m3{bytes[layout.EntryAt(slot) + c]}) : ToFloat(value);
      reference::Set(wide.storage.view(), slot, c, static_cast<double>(stored * scale));
      ASSERT_EQ(wide.storage.at(slot, c), static_cast<double>(stored * scale)) << "bf16 does not hold it";
    }
  }
  for (const DType type : kTypes) {
    const Queries queries(type, 20, kHeads, kLatent, kRope, random);
    const AttentionSequence sequence{0, 20, kTokens - 20, table.data()};
    TestMatrix of_narrow(type, 20, kHeads * kLatent), of_wide(type, 20, kHeads * kLatent);
    kernels().mla_attention(queries.Args(narrow, 0, 20, &sequence, 1, of_narrow.view()), execution());
    kernels().mla_attention(queries.Args(wide, 0, 20, &sequence, 1, of_wide.view()), execution());
    EXPECT_EQ(of_narrow.AllBytes(), of_wide.AllBytes()) << Name(type);
    EXPECT_TRUE(std::isfinite(of_narrow.at(3, 3)));
  }
}

TEST_P(AttentionTest, LargeScoresDoNotOverflow) {
  Random random(34);
  PagedCache cache(DType::kF32, 16, 2, 3);
  const std::vector<BlockId> table = cache.MakeTable(130, random);
  cache.Fill(table, 130, random);
  const Queries queries(DType::kF32, 1, 2, 16, 2, random);
  MlaAttentionArgs args;
  const AttentionSequence sequence{0, 1, 129, table.data()};
  TestMatrix out(DType::kF32, 1, 32), expected(DType::kF32, 1, 32);
  args = queries.Args(cache, 0, 1, &sequence, 1, out.view());
  args.scale = 1000.0f;  // weights of all but a few positions underflow
  kernels().mla_attention(args, execution());
  args.out = expected.view();
  reference::MlaAttention(args);
  ExpectClose(out, expected, 1e-2);  // a score's own rounding error is magnified by the scale
}

TEST_P(AttentionTest, RopeRotatesOnlyItsColumns) {
  Random random(35);
  const int64_t heads = 3, stride = 20, offset = 8, rope_dim = 12, positions = 50;
  const std::vector<float> angles = NormalValues(positions * rope_dim / 2, random, 3.0f);
  std::vector<float> cos, sin;
  for (float angle : angles) {
    cos.push_back(std::cos(angle));
    sin.push_back(std::sin(angle));
  }
  const std::vector<int32_t> at = {0, 49, 7, 7};
  for (DType type : kTypes) {
    const TestMatrix x = TestMatrix::Normal(type, 4, heads * stride, random);
    TestMatrix out(x), expected(x);
    kernels().rope({out.view(), heads, stride, offset, rope_dim, at.data(), cos.data(), sin.data()},
                   execution());
    reference::Rope({expected.view(), heads, stride, offset, rope_dim, at.data(), cos.data(), sin.data()});
    ExpectClose(out, expected, 1e-6);
    for (int64_t h = 0; h < heads; ++h) {
      EXPECT_EQ(out.at(1, h * stride + 5), x.at(1, h * stride + 5));
      EXPECT_NE(out.at(1, h * stride + offset), x.at(1, h * stride + offset));
    }
  }
}

TEST_P(AttentionTest, KvWriteFillsItsSlotsOnly) {
  Random random(36);
  const std::vector<int64_t> slots = {3, 130, 64, -1, 63};
  for (DType cache_type : kCacheTypes) {
    for (DType type : kTypes) {
      for (const int64_t latent_dim : {24, 301}) {
        const TestMatrix latent = TestMatrix::Normal(type, 5, latent_dim, random),
                         rope = TestMatrix::Normal(type, 5, 10, random);
        PagedCache cache(cache_type, latent_dim, 10, 3), expected(cache_type, latent_dim, 10, 3);
        const std::string untouched = cache.storage.AllBytes();
        kernels().kv_write({latent.view(), rope.view(), slots.data(), cache.storage.view().data, cache_type},
                           execution());
        reference::KvWrite(
            {latent.view(), rope.view(), slots.data(), expected.storage.view().data, cache_type});
        EXPECT_EQ(cache.storage.AllBytes(), expected.storage.AllBytes());
        EXPECT_TRUE(cache.storage.PaddingIntact());
        EXPECT_NE(cache.storage.AllBytes(), untouched);
      }
    }
  }
}

// What base/fp8_kv_page.h says of values that are not ordinary.
TEST_P(AttentionTest, Fp8EntriesOfExtremeValues) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr int64_t kLatent = 4, kRope = 2;
  struct Case {
    float latent[kLatent], rope[kRope], scale, expected_latent[kLatent], expected_rope[kRope];
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Case cases[] = {{{0, -0.0f, 0, 0}, {3, -5}, 0x1p-32f, {0, 0, 0, 0}, {3, -5}},
                        {{1e-40f, 0, 0, 0x1p-30f}, {0, 1}, 0x1p-32f, {0, 0, 0, 0x1p-30f}, {0, 1}},
                        {{448, 450, -1, 0}, {1, 1}, 2, {448, 448, -1, 0}, {1, 1}},
                        {{nan, 2, -1.0625f, 0}, {nan, 7}, 0x1p-7f, {nan, 2, -1, 0}, {nan, 7}},
                        {{kInfinity, 1, -kInfinity, 0},
                         {0.5f, -kInfinity},
                         0x1p120f,
                         {kInfinity, 0, -kInfinity, 0},
                         {0.5f, -kInfinity}},
                        {{0, 0, 0, 0}, {0x1p100f, 1}, 0x1p-32f, {0, 0, 0, 0}, {kInfinity, 1}},
                        {{0x1p127f, 0x1p117f, 0x1p100f, -0x1p111f},
                         {1, 2},
                         0x1p119f,
                         {0x1p127f, 0x1p117f, 0, -0x1p111f},
                         {1, 2}}};
  const Fp8KvPage layout = {kLatent, kRope};
  for (const Case& c : cases) {
    TestMatrix latent(DType::kF32, 1, kLatent), rope(DType::kF32, 1, kRope);
    std::copy_n(c.latent, kLatent, latent.view().row<float>(0));
    std::copy_n(c.rope, kRope, rope.view().row<float>(0));
    PagedCache cache(DType::kF8E4M3, kLatent, kRope, 1), reference(DType::kF8E4M3, kLatent, kRope, 1);
    const std::vector<int64_t> slots = {5};
    KvWriteArgs args = {latent.view(), rope.view(), slots.data(), cache.storage.view().data, DType::kF8E4M3};
    kernels().kv_write(args, execution());
    args.cache = reference.storage.view().data;
    reference::KvWrite(args);
    EXPECT_EQ(cache.storage.AllBytes(), reference.storage.AllBytes()) << c.latent[0];
    const auto* const bytes = static_cast<const uint8_t*>(cache.storage.view().data);
    float scale;
    std::memcpy(&scale, bytes + layout.ScaleAt(5), sizeof(scale));
    EXPECT_EQ(scale, c.scale) << c.latent[0];
    const auto expect = [&](float value, float expected) {
      EXPECT_TRUE(value == expected || (std::isnan(value) && std::isnan(expected)))
          << value << " for " << expected;
    };
    for (int64_t i = 0; i < kLatent; ++i)
      expect(ToFloat(fp8_e4m3{bytes[layout.EntryAt(5) + i]}) * scale, c.expected_latent[i]);
    for (int64_t i = 0; i < kRope; ++i) {
      bf16 value;
      std::memcpy(&value, bytes + layout.EntryAt(5) + layout.rope_begin() + 2 * i, sizeof(value));
      expect(ToFloat(value) * scale, c.expected_rope[i]);
    }
  }
}

}  // namespace
}  // namespace deeprack::kernels
