// Rope, cache writes and multi-head latent attention over pages.
#include "tests/unit/kernels/kernel_test.h"

namespace deeprack::kernels {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kBF16};
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// A cache whose slots are all NaN until written, and sequences with pages in shuffled order.
struct PagedCache {
  PagedCache(DType type, int64_t latent_dim, int64_t rope_dim, int64_t pages)
      : latent_dim(latent_dim),
        rope_dim(rope_dim),
        storage(type, pages * kPageTokens, latent_dim + rope_dim, 0) {}

  // Pages for `tokens` positions, drawn in random order; the table ends in ids that do not exist.
  std::vector<BlockId> MakeTable(int64_t tokens, Random& random) {
    if (free.empty()) {
      for (BlockId page = 0; page < storage.view().rows / kPageTokens; ++page) free.push_back(page);
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
    const std::vector<float> values = NormalValues(tokens * (latent_dim + rope_dim), random);
    for (int64_t i = 0; i < static_cast<int64_t>(values.size()); ++i) {
      const int64_t position = i / (latent_dim + rope_dim);
      const int64_t slot = int64_t{table[position / kPageTokens]} * kPageTokens + position % kPageTokens;
      reference::Set(storage.view(), slot, i % (latent_dim + rope_dim), values[i]);
    }
  }

  int64_t latent_dim, rope_dim;
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
            .cache_type = cache.storage.view().type,
            .sequences = sequences,
            .num_sequences = num_sequences,
            .out = out};
  }

  static constexpr int64_t kNope = 6;
  int64_t heads, latent_dim, rope_dim;
  TestMatrix latent, rope;
};

class AttentionTest : public KernelTest {};
DEEPRACK_INSTANTIATE_KERNEL_TEST(AttentionTest);

TEST_P(AttentionTest, AgreesWithReference) {
  Random random(31);
  struct Shape {
    int64_t heads, latent_dim, rope_dim;
  };
  for (const Shape& shape :
       {Shape{7, 512, 64}, Shape{3, 24, 8}, Shape{1, 16, 16}, Shape{8, 10, 2}, Shape{9, 130, 6}}) {
    for (DType cache_type : kTypes) {
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

TEST_P(AttentionTest, ResultDoesNotDependOnChunkingOrBatch) {
  Random random(32);
  const int64_t heads = 10, latent_dim = 40, rope_dim = 8, tokens = 200;
  for (DType type : kTypes) {
    PagedCache cache(type, latent_dim, rope_dim, 8);
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
  PagedCache cache(DType::kBF16, 48, 16, 4);
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
  for (DType cache_type : kTypes) {
    for (DType type : kTypes) {
      const TestMatrix latent = TestMatrix::Normal(type, 5, 24, random),
                       rope = TestMatrix::Normal(type, 5, 10, random);
      TestMatrix cache(cache_type, 192, 34, 0), expected(cache_type, 192, 34, 0);
      kernels().kv_write({latent.view(), rope.view(), slots.data(), cache.view().data, cache_type},
                         execution());
      reference::KvWrite({latent.view(), rope.view(), slots.data(), expected.view().data, cache_type});
      EXPECT_EQ(cache.AllBytes(), expected.AllBytes());
      EXPECT_TRUE(cache.PaddingIntact());
      EXPECT_TRUE(std::isnan(cache.at(4, 0)));
    }
  }
}

}  // namespace
}  // namespace deeprack::kernels
