// Grouped-query attention over pages.
#include "tests/unit/kernels/kernel_test.h"

namespace deeprack::kernels {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kBF16};

struct Shape {
  int64_t heads, kv_heads, head_dim;
};

// A cache of NaN with the tables of some sequences' pages, in descending order, filled to their lengths.
struct Cache {
  Cache(DType type, const Shape& shape, const std::vector<int64_t>& lengths, Random& random)
      : storage(type, 16 * kPageTokens, 2 * shape.kv_heads * shape.head_dim, 0) {
    BlockId next = 15;
    for (const int64_t length : lengths) {
      std::vector<BlockId> table;
      for (int64_t p = 0; p < length; p += kPageTokens) table.push_back(next--);
      for (int64_t p = 0; p < length; ++p) {
        const int64_t slot = int64_t{table[p / kPageTokens]} * kPageTokens + p % kPageTokens;
        const std::vector<float> values = NormalValues(storage.view().cols, random);
        for (int64_t c = 0; c < storage.view().cols; ++c) reference::Set(storage.view(), slot, c, values[c]);
      }
      table.push_back(1 << 30);  // a page that does not exist
      tables.push_back(std::move(table));
    }
  }

  GqaAttentionArgs Args(const Shape& shape, const Matrix& q, const std::vector<AttentionSequence>& sequences,
                        const Matrix& out) const {
    return {.q = q,
            .heads = shape.heads,
            .kv_heads = shape.kv_heads,
            .head_dim = shape.head_dim,
            .scale = 0.3f,
            .cache = storage.view().data,
            .cache_type = storage.view().type,
            .sequences = sequences.data(),
            .num_sequences = static_cast<int64_t>(sequences.size()),
            .out = out};
  }

  TestMatrix storage;
  std::vector<std::vector<BlockId>> tables;
};

class GqaAttentionTest : public KernelTest {
 protected:
  void SetUp() override {
    if (kernels().gqa_attention == nullptr) GTEST_SKIP() << "not in this backend";
  }
};
DEEPRACK_INSTANTIATE_KERNEL_TEST(GqaAttentionTest);

TEST_P(GqaAttentionTest, AgreesWithReference) {
  Random random(41);
  for (const Shape& shape : {Shape{7, 1, 128}, Shape{4, 2, 64}, Shape{5, 5, 10}, Shape{14, 2, 18},
                             Shape{1, 1, 130}, Shape{66, 1, 4}}) {
    const int64_t width = shape.heads * shape.head_dim;
    for (DType cache_type : kTypes) {
      // A decode deep in its second page, a chunk across pages, a short prompt, a page's first slot.
      const Cache cache(cache_type, shape, {101, 100, 5, 65}, random);
      const std::vector<AttentionSequence> sequences = {{0, 1, 100, cache.tables[0].data()},
                                                        {1, 80, 20, cache.tables[1].data()},
                                                        {81, 5, 0, cache.tables[2].data()},
                                                        {86, 1, 64, cache.tables[3].data()}};
      for (DType type : kTypes) {
        const TestMatrix q = TestMatrix::Normal(type, 87, width, random, 0.4f);
        TestMatrix out(type, 87, width), expected(DType::kF32, 87, width);
        kernels().gqa_attention(cache.Args(shape, q.view(), sequences, out.view()), execution());
        SCOPED_TRACE(testing::Message() << "heads " << shape.heads << " dim " << shape.head_dim << " cache "
                                        << Name(cache_type) << " q " << Name(type));
        ExpectAttention(kernels(), reference::GqaAttention,
                        cache.Args(shape, q.view(), sequences, expected.view()), type, out, expected);
      }
    }
  }
}

TEST_P(GqaAttentionTest, ResultDoesNotDependOnChunkingOrBatch) {
  Random random(42);
  const Shape shape = {14, 2, 24};
  const int64_t tokens = 200, width = shape.heads * shape.head_dim;
  for (DType type : kTypes) {
    const Cache cache(type, shape, {tokens, 90}, random);
    const TestMatrix q = TestMatrix::Normal(type, tokens, width, random);
    TestMatrix whole(type, tokens, width);
    const std::vector<AttentionSequence> all = {{0, tokens, 0, cache.tables[0].data()}};
    kernels().gqa_attention(cache.Args(shape, q.view(), all, whole.view()), execution());
    for (int32_t chunk : {1, 7, 64}) {
      TestMatrix chunked(type, tokens, width);
      for (int32_t first = 0; first < tokens; first += chunk) {
        const int32_t rows = std::min<int32_t>(chunk, tokens - first);
        const std::vector<AttentionSequence> part = {{0, rows, first, cache.tables[0].data()}};
        kernels().gqa_attention(cache.Args(shape, q.Rows(first, rows), part, chunked.Rows(first, rows)),
                                execution());
      }
      EXPECT_EQ(chunked.AllBytes(), whole.AllBytes()) << "chunks of " << chunk;
    }
    // Beside another sequence, which takes the last 30 rows, and without a pool.
    TestMatrix mixed(type, tokens, width);
    const std::vector<AttentionSequence> both = {{0, 170, 0, cache.tables[0].data()},
                                                 {170, 30, 60, cache.tables[1].data()}};
    kernels().gqa_attention(cache.Args(shape, q.view(), both, mixed.view()), {});
    for (int64_t r = 0; r < 170; ++r) ASSERT_EQ(mixed.RowBytes(r), whole.RowBytes(r)) << r;
  }
}

TEST_P(GqaAttentionTest, BackendsGiveTheSameBits) {
  Random random(43);
  const Shape shape = {15, 5, 48};
  const Cache cache(DType::kBF16, shape, {150}, random);
  const TestMatrix q = TestMatrix::Normal(DType::kF32, 30, 15 * 48, random, 0.4f);
  const std::vector<AttentionSequence> sequence = {{0, 30, 120, cache.tables[0].data()}};
  TestMatrix out(DType::kF32, 30, 15 * 48), generic(DType::kF32, 30, 15 * 48);
  kernels().gqa_attention(cache.Args(shape, q.view(), sequence, out.view()), execution());
  AvailableCpuKernels().front()->gqa_attention(cache.Args(shape, q.view(), sequence, generic.view()),
                                               execution());
  EXPECT_EQ(out.AllBytes(), generic.AllBytes());
}

// Biases are added as a matrix whose rows are all the same one.
TEST_P(GqaAttentionTest, AddsOneRowToAll) {
  Random random(44);
  const std::vector<float> bias = NormalValues(21, random);
  const Matrix same = {const_cast<float*>(bias.data()), DType::kF32, 4, 21, 0};
  for (DType type : kTypes) {
    const TestMatrix x = TestMatrix::Normal(type, 4, 21, random);
    TestMatrix out(x), expected(x);
    kernels().add({out.view(), same}, execution());
    for (int64_t r = 0; r < 4; ++r) {
      for (int64_t c = 0; c < 21; ++c)
        reference::Set(expected.view(), r, c, x.at(r, c) + static_cast<double>(bias[c]));
    }
    ExpectClose(out, expected, 1e-6);
  }
}

}  // namespace
}  // namespace deeprack::kernels
