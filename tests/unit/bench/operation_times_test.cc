#include "bench/engine/operation_times.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <vector>

#include "kernels/api/cpu_kernels.h"
#include "kernels/api/thread_pool.h"

namespace deeprack::bench {
namespace {

using kernels::KernelSet;
using kernels::PackedWeight;

TEST(TimedKernels, CountsWhatEveryCallReadsAndComputes) {
  const std::unique_ptr<kernels::ThreadPool> pool = kernels::MakeThreadPool(1);
  const kernels::Execution execution{.pool = pool.get()};
  OperationTimes times;
  const KernelSet& timed = TimedKernels(kernels::CpuKernels(), &times);

  alignas(64) float values[16 * 3];
  std::fill(std::begin(values), std::end(values), 0.5f);
  const PackedWeight weight = {.data = values, .type = DType::kF32, .n = 16, .k = 3};
  std::vector<float> x(4 * 3, 2.0f), out(4 * 16);
  const kernels::Matrix rows = {x.data(), DType::kF32, 4, 3, 3},
                        products = {out.data(), DType::kF32, 4, 16, 16};
  timed.linear({rows, weight, products}, execution);
  timed.linear({rows, weight, products}, execution);
  EXPECT_EQ(out[0], 3.0f) << "the real operation has run";

  // Two of three experts have rows: their weights are read.
  const std::vector<PackedWeight> experts(3, weight);
  const std::vector<int32_t> offsets = {0, 1, 1, 4};
  timed.grouped_linear({rows, nullptr, offsets.data(), experts.data(), 3, products}, execution);

  ASSERT_EQ(times.size(), 2u);
  const OperationTime& linear = times["linear 16x3 F32"];
  EXPECT_EQ(linear.calls, 2);
  EXPECT_EQ(linear.weight_bytes, 2 * 16 * 3 * 4);
  EXPECT_EQ(linear.flops, 2 * 2 * 4 * 16 * 3);
  EXPECT_GT(linear.seconds, 0);
  const OperationTime& grouped = times["grouped_linear 16x3 F32"];
  EXPECT_EQ(grouped.weight_bytes, 2 * 16 * 3 * 4);
  EXPECT_EQ(grouped.flops, 2 * 4 * 16 * 3);
}

TEST(TimedKernels, AttentionReadsEachSequencesCacheOnce) {
  KernelSet none;
  none.mla_attention = [](const kernels::MlaAttentionArgs&, const kernels::Execution&) {};
  OperationTimes times;
  const KernelSet& timed = TimedKernels(none, &times);
  EXPECT_EQ(timed.gqa_attention, nullptr) << "what a backend lacks stays lacking";

  // A chunk of 2 rows after 5 positions, and a decode at position 9: 6 + 7 and 10 positions.
  const kernels::AttentionSequence sequences[] = {{0, 2, 5, nullptr}, {2, 1, 9, nullptr}};
  timed.mla_attention(
      {.heads = 4, .latent_dim = 8, .rope_dim = 2, .sequences = sequences, .num_sequences = 2}, {});
  EXPECT_EQ(times["mla_attention"].cache_bytes, (7 + 10) * 10 * 2);
  EXPECT_EQ(times["mla_attention"].flops, (6 + 7 + 10) * 2.0 * 4 * (10 + 8));
}

TEST(TimedKernels, ExpandedAttentionExpandsTheWholeContext) {
  KernelSet none;
  none.expanded_attention = [](const kernels::ExpandedAttentionArgs&, const kernels::Execution&) {};
  OperationTimes times;
  const KernelSet& timed = TimedKernels(none, &times);
  const kernels::PackedWeight key = {.type = DType::kBF16, .n = 16, .k = 4};
  const kernels::PackedWeight value = {.type = DType::kBF16, .n = 16, .k = 16};
  const kernels::AttentionSequence sequence = {0, 2, 5, nullptr};
  timed.expanded_attention(
      {.shape = {.heads = 1, .nope_dim = 4, .rope_dim = 2, .value_dim = 16, .latent_dim = 16},
       .key_weights = &key,
       .value_weights = &value,
       .host_sequences = &sequence,
       .num_sequences = 1},
      {});
  EXPECT_EQ(times["expanded_attention"].cache_bytes, 7 * (16 + 2) * 2);
  EXPECT_EQ(times["expanded_attention"].weight_bytes, (16 * 4 + 16 * 16) * 2);
  EXPECT_EQ(times["expanded_attention"].flops, (6 + 7) * 2.0 * (4 + 2 + 16) + 7 * 2.0 * 16 * (4 + 16));
}

}  // namespace
}  // namespace deeprack::bench
