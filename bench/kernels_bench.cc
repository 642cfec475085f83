// The CPU kernels against their floors. Every line reports what it moves or computes per second; `of_floor`
// is its share of the better of two limits measured in the same run, on the same threads, alternating: the
// bandwidth of a plain read loop over memory, and the rate of independent multiply-adds in registers (of
// pairs of bf16, where the backend has them and the rows are bf16). Weights are random and rotate through
// more memory than the cache holds, as a decoder's layers do.
//
//   kernels_bench [--benchmark_filter=...]     DEEPRACK_BENCH_THREADS (all cores), DEEPRACK_CPU_KERNELS
#include <benchmark/benchmark.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels/api/kernel_set.h"
#include "kernels/api/thread_pool.h"

namespace deeprack::kernels {
namespace {

constexpr int64_t kRotation = int64_t{512} << 20;  // bytes of weights to go through: many times the L3 cache

int Threads() {
  const char* wanted = std::getenv("DEEPRACK_BENCH_THREADS");
  return wanted != nullptr ? std::max(1, std::atoi(wanted))
                           : static_cast<int>(std::thread::hardware_concurrency());
}

const Execution& Exec() {
  static const std::unique_ptr<ThreadPool> pool = MakeThreadPool(Threads());
  static const Execution execution{.pool = pool.get()};
  return execution;
}

// One thread is timed by the processor time that it got, so that other programs on the machine count less.
double Seconds() {
  timespec now{};
  clock_gettime(Threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Memory full of random bytes that are finite in every weight type, shared by all benchmarks.
const std::vector<uint64_t>& RandomMemory() {
  static const std::vector<uint64_t> memory = [] {
    std::vector<uint64_t> words(kRotation / 8);
    std::mt19937_64 random(1);
    // Every byte as an exponent is moderate: no NaN, no huge or subnormal value.
    for (uint64_t& word : words) word = (random() & 0xbfbfbfbfbfbfbfbfull) | 0x3030303030303030ull;
    return words;
  }();
  return memory;
}

// Bytes per second of summing a stretch of memory on all threads.
double ReadOnce() {
  static int64_t offset = 0;
  const std::vector<uint64_t>& memory = RandomMemory();
  const int64_t words = (int64_t{64} << 20) / 8, tasks = 4 * Threads(), part = words / tasks;
  offset = (offset + words) % (static_cast<int64_t>(memory.size()) - words + 1) / 8 * 8;
  const double start = Seconds();
  Exec().pool->ParallelFor(tasks, [&](int64_t task) {
    using Vector = uint64_t __attribute__((vector_size(64)));
    const Vector* from = reinterpret_cast<const Vector*>(memory.data() + offset + task * part);
    Vector sums[4] = {};
    for (int64_t i = 0; i + 4 <= part / 8; i += 4) {
      for (int j = 0; j < 4; ++j) {
        Vector value;
        __builtin_memcpy(&value, from + i + j, sizeof(value));
        sums[j] += value;
      }
    }
    benchmark::DoNotOptimize(sums);
  });
  return static_cast<double>(part * tasks * 8) / (Seconds() - start);
}

// Rounds of independent multiply-adds in registers; returns how many flops a round is. The widest vectors
// that the chosen backend uses.
#if defined(__x86_64__)
__attribute__((target("avx512f"))) double MultiplyAvx512(int64_t rounds) {
  __m512 sums[16];
  for (int i = 0; i < 16; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512 factor = _mm512_set1_ps(0.999f), step = _mm512_set1_ps(0.001f);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sums[i] = _mm512_fmadd_ps(sums[i], factor, step);
  }
  benchmark::DoNotOptimize(sums);
  return 16 * 16 * 2;
}

__attribute__((target("avx512f,avx512bf16"))) double MultiplyPairs(int64_t rounds) {
  __m512 sums[16];  // different ones, or the compiler keeps a single chain
  for (int i = 0; i < 16; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const auto factor = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3f80)),
             step = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3c00));
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], factor, step);
  }
  benchmark::DoNotOptimize(sums);
  return 16 * 32 * 2;
}

__attribute__((target("avx2,fma"))) double MultiplyAvx2(int64_t rounds) {
  __m256 sums[12];
  for (int i = 0; i < 12; ++i) sums[i] = _mm256_set1_ps(static_cast<float>(i));
  const __m256 factor = _mm256_set1_ps(0.999f), step = _mm256_set1_ps(0.001f);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) sums[i] = _mm256_fmadd_ps(sums[i], factor, step);
  }
  benchmark::DoNotOptimize(sums);
  return 12 * 8 * 2;
}
#endif

double MultiplyGeneric(int64_t rounds) {
  float sums[8] = {};
  for (int64_t round = 0; round < rounds; ++round) {
    for (float& sum : sums) sum = __builtin_fmaf(sum, 0.999f, 0.001f);
  }
  benchmark::DoNotOptimize(sums);
  return 8 * 2;
}

// Flops per second of multiply-adds on all threads.
double MultiplyOnce(bool pairs) {
  double (*multiply)(int64_t) = MultiplyGeneric;
#if defined(__x86_64__)
  if (CpuKernels().name.starts_with("avx512")) multiply = MultiplyAvx512;
  if (CpuKernels().name == "avx512_bf16" && pairs) multiply = MultiplyPairs;
  if (CpuKernels().name == "avx2") multiply = MultiplyAvx2;
#endif
  const int64_t tasks = 2 * Threads(), rounds = 100000;
  std::vector<double> flops(tasks);
  const double start = Seconds();
  Exec().pool->ParallelFor(tasks, [&](int64_t task) { flops[task] = multiply(rounds); });
  return flops[0] * static_cast<double>(tasks * rounds) / (Seconds() - start);
}

// Runs `body` and, between its iterations, the two limits; reports medians.
template <class Body>
void Measure(benchmark::State& state, double bytes, double flops, bool pairs, Body body) {
  std::vector<double> times, reads, multiplies;
  body();
  for (auto _ : state) {
    const double start = Seconds();
    body();
    const double time = Seconds() - start;
    state.SetIterationTime(time);
    times.push_back(time);
    if (reads.size() < 15) {
      reads.push_back(ReadOnce());
      multiplies.push_back(MultiplyOnce(pairs));
    }
  }
  const auto median = [](std::vector<double>& values) {
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
  };
  const double time = median(times), read = median(reads), multiply = median(multiplies);
  state.counters["GB/s"] = bytes / time / 1e9;
  state.counters["GFLOPS"] = flops / time / 1e9;
  state.counters["read_GB/s"] = read / 1e9;
  state.counters["limit_GFLOPS"] = multiply / 1e9;
  state.counters["of_floor"] = std::max(bytes / read, flops / multiply) / time;
}

// Rows as the decoder has them: bf16 with weights of bf16 and fp8, fp32 with fp32.
struct Rows {
  Rows(DType weight_type, int64_t rows, int64_t cols, unsigned seed);
  Matrix view;
  std::vector<float> values;
  std::vector<bf16> rounded;
};

std::vector<float> Normal(int64_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

Rows::Rows(DType weight_type, int64_t rows, int64_t cols, unsigned seed) : values(Normal(rows * cols, seed)) {
  for (float value : values) rounded.push_back(ToBF16(value));
  view = weight_type == DType::kF32 ? Matrix{values.data(), DType::kF32, rows, cols, cols}
                                    : Matrix{rounded.data(), DType::kBF16, rows, cols, cols};
}

// The i-th of the weights [n, k] that the rotation holds.
PackedWeight RotatedWeight(DType type, int64_t n, int64_t k, int64_t i) {
  const int64_t bytes = PackedValueBytes(type, n, k);
  const int64_t slots = kRotation / bytes;
  static const std::vector<float> scales(int64_t{1} << 20, 0.01f);
  const char* memory = reinterpret_cast<const char*>(RandomMemory().data());
  return {.data = memory + i % slots * bytes,
          .scales = type == DType::kF8E4M3 ? scales.data() : nullptr,
          .type = type,
          .n = n,
          .k = k};
}

void Linear(benchmark::State& state, DType type, int64_t n, int64_t k) {
  const int64_t m = state.range(0);
  const Rows x(type, m, k, 2);
  std::vector<float> out(m * n);
  int64_t i = 0;
  const double bytes = static_cast<double>(PackedValueBytes(type, n, k));
  Measure(state, bytes, 2.0 * static_cast<double>(m * n * k), type != DType::kF32, [&] {
    CpuKernels().linear({x.view, RotatedWeight(type, n, k, i++), {out.data(), DType::kF32, m, n, n}}, Exec());
  });
}

// `tokens` tokens, each to 8 of 64 experts of R1's shape, gate and up stacked.
void Experts(benchmark::State& state, DType type) {
  const int64_t tokens = state.range(0), experts = 64, top_k = 8, n = 512,
                k = 7168;  // an eighth of 4096: tp 8
  std::mt19937_64 random(3);
  std::vector<int32_t> ids;
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<int32_t> order(experts);
    for (int32_t e = 0; e < experts; ++e) order[e] = e;
    std::shuffle(order.begin(), order.end(), random);
    ids.insert(ids.end(), order.begin(), order.begin() + top_k);
  }
  std::vector<int32_t> offsets(experts + 1), rows(tokens * top_k), pairs(tokens * top_k);
  CpuKernels().group_by_expert(
      {ids.data(), tokens, top_k, 0, experts, offsets.data(), rows.data(), pairs.data()}, Exec());
  std::vector<PackedWeight> weights;
  int64_t used = 0;
  for (int64_t e = 0; e < experts; ++e) {
    weights.push_back(RotatedWeight(type, n, k, e));
    used += offsets[e + 1] > offsets[e];
  }
  const Rows x(type, tokens, k, 4);
  std::vector<float> out(tokens * top_k * n);
  const double bytes = static_cast<double>(used * PackedValueBytes(type, n, k));
  Measure(state, bytes, 2.0 * static_cast<double>(tokens * top_k * n * k), type != DType::kF32, [&] {
    CpuKernels().grouped_linear({x.view,
                                 rows.data(),
                                 offsets.data(),
                                 weights.data(),
                                 experts,
                                 {out.data(), DType::kF32, tokens * top_k, n, n}},
                                Exec());
  });
}

// One decode with `heads` heads at a context of state.range(0) tokens, bf16 cache.
void MlaDecode(benchmark::State& state, int64_t heads) {
  const int64_t context = state.range(0), latent = 512, rope = 64;
  std::vector<float> values = Normal(context * (latent + rope), 5), q_latent = Normal(heads * latent, 6),
                     q_rope = Normal(heads * rope, 7), out(heads * latent);
  std::vector<bf16> cache;
  for (float value : values) cache.push_back(ToBF16(value));
  std::vector<BlockId> table;
  for (BlockId page = 0; page < context / kPageTokens; ++page) table.push_back(page);
  const AttentionSequence sequence{0, 1, static_cast<int32_t>(context - 1), table.data()};
  MlaAttentionArgs args{.q_latent = {q_latent.data(), DType::kF32, 1, heads * latent, heads * latent},
                        .q_rope = {q_rope.data(), DType::kF32, 1, heads * rope, heads * rope},
                        .q_rope_head_stride = rope,
                        .heads = heads,
                        .latent_dim = latent,
                        .rope_dim = rope,
                        .scale = 0.0417f,
                        .cache = cache.data(),
                        .sequences = &sequence,
                        .num_sequences = 1,
                        .out = {out.data(), DType::kF32, 1, heads * latent, heads * latent}};
  const double flops = 2.0 * static_cast<double>(heads * context * (2 * latent + rope));
  Measure(state, static_cast<double>(cache.size() * sizeof(bf16)), flops, /*pairs=*/false,
          [&] { CpuKernels().mla_attention(args, Exec()); });
}

void Register() {
  const auto add = [](const std::string& name, auto function, const std::vector<int64_t>& sizes) {
    for (int64_t size : sizes) {
      benchmark::RegisterBenchmark(name.c_str(), function)
          ->Arg(size)
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond)
          ->MinTime(0.2);
    }
  };
  for (DType type : {DType::kF32, DType::kBF16, DType::kF8E4M3}) {
    const std::string name(Name(type));
    add("linear 2112x7168 " + name + " rows", [type](benchmark::State& s) { Linear(s, type, 2112, 7168); },
        {1, 2, 4, 8, 64, 512});
    add("experts 64 of 512x7168, top 8, " + name + " tokens",
        [type](benchmark::State& s) { Experts(s, type); }, {1, 64, 512});
  }
  add("mla decode 128 heads, context", [](benchmark::State& s) { MlaDecode(s, 128); }, {4096});
  add("mla decode 16 heads, context", [](benchmark::State& s) { MlaDecode(s, 16); }, {4096});
}

}  // namespace
}  // namespace deeprack::kernels

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  std::printf("backend %s, %d threads; of_floor: share of the nearer limit, memory reads or multiply-adds\n",
              std::string(deeprack::kernels::CpuKernels().name).c_str(), deeprack::kernels::Threads());
  deeprack::kernels::Register();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
