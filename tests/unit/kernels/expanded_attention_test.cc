// Latent attention with keys and values expanded to full heads.
#include "kernels/reference/fp8_entries.h"
#include "tests/unit/kernels/weights.h"

namespace deeprack::kernels {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kBF16};

// kv_b of a model by heads, and sequences in a cache of NaN whose pages lie in descending order.
class Model {
 public:
  Model(DType type, DType cache_type, const ExpandedShape& shape, const std::vector<int64_t>& lengths,
        Random& random)
      : shape_(shape),
        scale_(10.0f / std::sqrt(static_cast<float>(shape.query_dim() * shape.latent_dim))),
        cache_(cache_type, kPages * kPageTokens, shape.latent_dim + shape.rope_dim, 0) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      weights_.push_back(TestWeight::Make(type, shape.latent_dim, shape.nope_dim, random));
      weights_.push_back(TestWeight::Make(type, shape.value_dim, shape.latent_dim, random));
    }
    for (int64_t head = 0; head < shape.heads; ++head) {
      keys_.push_back(weights_[static_cast<size_t>(2 * head)].packed());
      values_.push_back(weights_[static_cast<size_t>(2 * head + 1)].packed());
    }
    BlockId next = kPages - 1;
    for (const int64_t length : lengths) {
      std::vector<BlockId> table;
      for (int64_t p = 0; p < length; p += kPageTokens) table.push_back(next--);
      for (int64_t p = 0; p < length; ++p) {
        const int64_t slot = int64_t{table[p / kPageTokens]} * kPageTokens + p % kPageTokens;
        const std::vector<float> entry = NormalValues(cache_.view().cols, random, 0.2f);
        for (int64_t c = 0; c < cache_.view().cols; ++c) reference::Set(cache_.view(), slot, c, entry[c]);
      }
      table.push_back(1 << 30);  // a page that does not exist
      tables_.push_back(std::move(table));
    }
  }

  TestMatrix Queries(DType type, int64_t rows, Random& random) const {
    return TestMatrix::Normal(type, rows, shape_.heads * shape_.query_dim(), random);
  }
  int64_t out_cols() const { return shape_.heads * shape_.value_dim; }
  const BlockId* table(size_t sequence) const { return tables_[sequence].data(); }

  ExpandedAttentionArgs Args(const Matrix& q, const std::vector<AttentionSequence>& sequences,
                             const Matrix& out) const {
    ExpandedShape shape = shape_;
    shape.type = q.type;
    shape.rows = q.rows;
    return {.q = q,
            .shape = shape,
            .scale = scale_,
            .key_weights = keys_.data(),
            .value_weights = values_.data(),
            .cache = cache_.view().data,
            .cache_type = cache_.view().type,
            .sequences = sequences.data(),
            .host_sequences = sequences.data(),
            .num_sequences = static_cast<int64_t>(sequences.size()),
            .out = out};
  }

 private:
  static constexpr BlockId kPages = 32;
  ExpandedShape shape_;
  float scale_;  // scores have a deviation of about 2
  TestMatrix cache_;
  std::vector<TestWeight> weights_;
  std::vector<PackedWeight> keys_, values_;
  std::vector<std::vector<BlockId>> tables_;
};

class ExpandedAttentionTest : public KernelTest {
 protected:
  // With the scratch memory that the kernels ask for.
  void Run(const ExpandedAttentionArgs& args) {
    Execution with_scratch = execution();
    std::vector<std::byte> data;
    if (kernels().scratch_bytes != nullptr) {
      data.resize(static_cast<size_t>(kernels().scratch_bytes({.expanded = args.shape}).data),
                  std::byte{0xff});
      with_scratch.scratch = {.data = data.data(), .data_bytes = std::ssize(data)};
    }
    kernels().expanded_attention(args, with_scratch);
  }
};
DEEPRACK_INSTANTIATE_KERNEL_TEST(ExpandedAttentionTest);

TEST_P(ExpandedAttentionTest, AgreesWithReference) {
  Random random(51);
  for (const ExpandedShape& shape :
       {ExpandedShape{.heads = 1, .nope_dim = 128, .rope_dim = 64, .value_dim = 128, .latent_dim = 512},
        ExpandedShape{.heads = 3, .nope_dim = 16, .rope_dim = 8, .value_dim = 24, .latent_dim = 40},
        ExpandedShape{.heads = 5, .nope_dim = 6, .rope_dim = 2, .value_dim = 10, .latent_dim = 26}}) {
    for (const DType type : kTypes) {
      for (const DType cache_type : kTypes) {
        // A single row behind a span's border, a chunk that crosses pages, a short prompt, a whole page.
        const Model model(type, cache_type, shape, {530, 150, 5, 64}, random);
        const std::vector<AttentionSequence> sequences = {{0, 1, 529, model.table(0)},
                                                          {1, 80, 70, model.table(1)},
                                                          {81, 5, 0, model.table(2)},
                                                          {86, 64, 0, model.table(3)}};
        const TestMatrix q = model.Queries(type, 150, random);
        TestMatrix out(type, 150, model.out_cols()), expected(DType::kF32, 150, model.out_cols());
        Run(model.Args(q.view(), sequences, out.view()));
        SCOPED_TRACE(testing::Message() << "heads " << shape.heads << " latent " << shape.latent_dim
                                        << " cache " << Name(cache_type) << " q " << Name(type));
        const bool rounds_weights =
            kernels().name == "avx512_bf16" && type == DType::kBF16 && cache_type == DType::kBF16;
        const ExpandedAttentionArgs args = model.Args(q.view(), sequences, expected.view());
        reference::ExpandedAttention(args, reference::SoftmaxWeights::kExact);
        ExpectClose(out, expected, rounds_weights ? 1.5e-2 : type == DType::kBF16 ? 5e-3 : 1e-5);
        if (!rounds_weights) continue;
        reference::ExpandedAttention(args, reference::SoftmaxWeights::kBf16);
        ExpectClose(out, expected, 5e-3);
      }
    }
  }
}

// Expanding only moves a matrix from the queries to the keys.
TEST_P(ExpandedAttentionTest, IsTheAbsorbedFormInOtherOrder) {
  Random random(52);
  const ExpandedShape shape = {.heads = 3, .nope_dim = 16, .rope_dim = 8, .value_dim = 12, .latent_dim = 48};
  const Model model(DType::kF32, DType::kF32, shape, {200}, random);
  const std::vector<AttentionSequence> sequences = {{0, 40, 160, model.table(0)}};
  const TestMatrix q = model.Queries(DType::kF32, 40, random);
  TestMatrix out(DType::kF32, 40, model.out_cols()), expected(DType::kF32, 40, model.out_cols());
  const ExpandedAttentionArgs args = model.Args(q.view(), sequences, out.view());
  Run(args);
  TestMatrix q_latent(DType::kF32, 40, 3 * 48), attended(DType::kF32, 40, 3 * 48);
  reference::HeadLinear(
      {.x = q.view(), .x_head_stride = 24, .weights = args.key_weights, .heads = 3, .out = q_latent.view()});
  reference::MlaAttention({.q_latent = q_latent.view(),
                           .q_rope = q.view(),
                           .q_rope_head_stride = 24,
                           .q_rope_offset = 16,
                           .heads = 3,
                           .latent_dim = 48,
                           .rope_dim = 8,
                           .scale = args.scale,
                           .cache = args.cache,
                           .cache_type = DType::kF32,
                           .sequences = sequences.data(),
                           .num_sequences = 1,
                           .out = attended.view()});
  reference::HeadLinear({.x = attended.view(),
                         .x_head_stride = 48,
                         .weights = args.value_weights,
                         .heads = 3,
                         .out = expected.view()});
  ExpectClose(out, expected, 2e-5);
}

TEST_P(ExpandedAttentionTest, ResultDoesNotDependOnChunkingOrBatch) {
  Random random(53);
  const ExpandedShape shape = {.heads = 1, .nope_dim = 16, .rope_dim = 8, .value_dim = 16, .latent_dim = 32};
  constexpr int32_t kTokens = 520;
  for (const DType type : kTypes) {
    const Model model(type, type, shape, {kTokens, 90}, random);
    const TestMatrix q = model.Queries(type, kTokens, random);
    TestMatrix whole(type, kTokens, model.out_cols());
    Run(model.Args(q.view(), {{0, kTokens, 0, model.table(0)}}, whole.view()));
    for (const int32_t chunk : {1, 7, 64, 130}) {
      TestMatrix chunked(type, kTokens, model.out_cols());
      // Small chunks only where pages and spans meet: each expands all before it.
      for (int32_t first = chunk < 64 ? 506 : 0; first < kTokens; first += chunk) {
        const int32_t rows = std::min(chunk, kTokens - first);
        Run(model.Args(q.Rows(first, rows), {{0, rows, first, model.table(0)}}, chunked.Rows(first, rows)));
        for (int32_t r = first; r < first + rows; ++r)
          ASSERT_EQ(chunked.RowBytes(r), whole.RowBytes(r)) << "row " << r << " in chunks of " << chunk;
      }
    }
    // Behind another sequence, which has the first 30 rows.
    const TestMatrix other = model.Queries(type, 30, random);
    TestMatrix q_both(type, 200, q.view().cols), both(type, 200, model.out_cols());
    for (int64_t r = 0; r < 200; ++r) {
      for (int64_t c = 0; c < q.view().cols; ++c)
        reference::Set(q_both.view(), r, c, r < 30 ? other.at(r, c) : q.at(r - 30, c));
    }
    Run(model.Args(q_both.view(), {{0, 30, 60, model.table(1)}, {30, 170, 0, model.table(0)}}, both.view()));
    for (int64_t r = 0; r < 170; ++r) ASSERT_EQ(both.RowBytes(30 + r), whole.RowBytes(r)) << r;
  }
}

TEST_P(ExpandedAttentionTest, LaterPositionsMayHoldAnything) {
  Random random(54);
  const ExpandedShape shape = {.heads = 2, .nope_dim = 16, .rope_dim = 8, .value_dim = 16, .latent_dim = 32};
  for (const DType type : kTypes) {
    const Model model(type, type, shape, {40}, random);
    TestMatrix q = model.Queries(type, 40, random), clean(type, 20, model.out_cols()),
               out(type, 40, model.out_cols());
    Run(model.Args(q.Rows(0, 20), {{0, 20, 0, model.table(0)}}, clean.view()));
    const Matrix cache = {const_cast<void*>(model.Args(q.view(), {}, out.view()).cache), type, 0, 40, 40};
    for (int64_t c = 0; c < 40; ++c) {
      const int64_t slot = int64_t{model.table(0)[0]} * kPageTokens + 20;
      reference::Set(cache, slot, c, std::numeric_limits<double>::infinity());
    }
    Run(model.Args(q.view(), {{0, 40, 0, model.table(0)}}, out.view()));
    for (int64_t r = 0; r < 20; ++r) ASSERT_EQ(out.RowBytes(r), clean.RowBytes(r)) << r;
  }
}

// An fp8 cache holds values that bf16 holds too, so the bits are those of a bf16 cache with them.
TEST_P(ExpandedAttentionTest, AnFp8CacheGivesTheBitsOfItsValues) {
  Random random(56);
  const ExpandedShape shape = {.heads = 2, .nope_dim = 16, .rope_dim = 8, .value_dim = 20, .latent_dim = 36};
  constexpr int64_t kPages = 32, kWidth = 44;
  for (const DType type : kTypes) {
    const Model model(type, DType::kBF16, shape, {150, 9}, random);
    const std::vector<AttentionSequence> sequences = {{0, 100, 50, model.table(0)},
                                                      {100, 9, 0, model.table(1)}};
    const TestMatrix q = model.Queries(type, 109, random);
    TestMatrix wide(type, 109, model.out_cols()), narrow(type, 109, model.out_cols());
    ExpandedAttentionArgs args = model.Args(q.view(), sequences, wide.view());
    const Matrix cache = {const_cast<void*>(args.cache), DType::kBF16, kPages * kPageTokens, kWidth, kWidth};
    TestMatrix pages(DType::kU8, kPages, Fp8KvPage{shape.latent_dim, shape.rope_dim}.bytes(), 0);
    const reference::Fp8Entries entries(pages.view().data, shape.latent_dim, shape.rope_dim);
    for (int64_t slot = 0; slot < cache.rows; ++slot) {
      const Matrix entry = {cache.row<bf16>(slot), DType::kBF16, 1, kWidth, kWidth};
      Matrix latent = entry, rope = entry;
      latent.cols = shape.latent_dim;
      rope.data = entry.row<bf16>(0) + shape.latent_dim;
      rope.cols = shape.rope_dim;
      entries.Write(slot, {.latent = latent, .rope_key = rope}, 0);
      for (int64_t c = 0; c < kWidth; ++c) reference::Set(cache, slot, c, entries.Get(slot, c));
    }
    Run(args);
    args.cache = pages.view().data;
    args.cache_type = DType::kF8E4M3;
    args.out = narrow.view();
    Run(args);
    EXPECT_EQ(narrow.AllBytes(), wide.AllBytes());
    TestMatrix expected(DType::kF32, 109, model.out_cols());
    args.out = expected.view();
    reference::ExpandedAttention(args, reference::SoftmaxWeights::kExact);
    ExpectClose(narrow, expected, type == DType::kBF16 ? 1.5e-2 : 1e-5);
  }
}

TEST_P(ExpandedAttentionTest, BackendsGiveTheSameBits) {
  Random random(55);
  const ExpandedShape shape = {.heads = 2, .nope_dim = 48, .rope_dim = 16, .value_dim = 40, .latent_dim = 72};
  for (const DType cache_type : kTypes) {
    const Model model(DType::kF32, cache_type, shape, {150}, random);
    const std::vector<AttentionSequence> sequences = {{0, 100, 50, model.table(0)}};
    const TestMatrix q = model.Queries(DType::kF32, 100, random);
    TestMatrix out(DType::kF32, 100, model.out_cols()), generic(DType::kF32, 100, model.out_cols());
    Run(model.Args(q.view(), sequences, out.view()));
    AvailableCpuKernels().front()->expanded_attention(model.Args(q.view(), sequences, generic.view()),
                                                      execution());
    EXPECT_EQ(out.AllBytes(), generic.AllBytes());
  }
}

}  // namespace
}  // namespace deeprack::kernels
