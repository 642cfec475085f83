// Times the CPU kernels against their floors. Every line reports bytes or flops per second. `of_floor` is the
// share of the nearer of two limits, which are measured in the same run on the same threads, alternating with
// the kernel: the bandwidth of a plain read loop over memory, and the rate of independent multiply-adds in
// registers. The multiply-adds are of fp32, of pairs of bf16 (where the kernels multiply pairs and the rows
// are bf16) or of bytes (block formats). Weights are random and rotate through more memory than the cache
// holds, as a decoder's layers do.
//
//   kernels_bench [--benchmark_filter=...]     DEEPRACK_BENCH_THREADS (all cores), DEEPRACK_CPU_KERNELS
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/block_formats.h"
#include "base/fp8_kv_page.h"
#include "kernels/api/cpu_kernels.h"
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

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Memory full of random bytes that are finite in every weight type, shared by all benchmarks.
std::span<const uint64_t> RandomMemory() {
  static const std::span<const uint64_t> memory = [] {
    void* base = mmap(nullptr, kRotation, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) std::abort();
    madvise(base, kRotation, MADV_HUGEPAGE);  // as the worker does
    const std::span<uint64_t> words(static_cast<uint64_t*>(base), kRotation / 8);
    std::mt19937_64 random(1);
    // Every byte is a moderate exponent: no NaN, no huge and no subnormal value.
    for (uint64_t& word : words) word = (random() & 0xbfbfbfbfbfbfbfbfull) | 0x3030303030303030ull;
    return std::span<const uint64_t>(words);
  }();
  return memory;
}

// Sums `bytes` bytes, a multiple of 256.
void ReadPart(const uint64_t* from, int64_t bytes) {
  using Vector = uint64_t __attribute__((vector_size(64)));
  Vector sums[4] = {};
  for (int64_t i = 0; i < bytes / 64; i += 4) {
    for (int j = 0; j < 4; ++j) {
      Vector value;
      __builtin_memcpy(&value, reinterpret_cast<const Vector*>(from) + i + j, sizeof(value));
      sums[j] += value;
    }
  }
  benchmark::DoNotOptimize(sums);
}

#if defined(__x86_64__)
// Reads whole registers, which is about a tenth faster.
__attribute__((target("avx512f"))) void ReadPartAvx512(const uint64_t* from, int64_t bytes) {
  __m512i sums[4] = {};
  for (int64_t i = 0; i < bytes / 64; i += 4) {
    for (int j = 0; j < 4; ++j) sums[j] = _mm512_add_epi64(sums[j], _mm512_loadu_si512(from + (i + j) * 8));
  }
  benchmark::DoNotOptimize(sums);
}
#endif

// Bytes per second of summing a stretch of memory on all threads.
double ReadOnce() {
  static int64_t offset = 0;
  const std::span<const uint64_t> memory = RandomMemory();
  const int64_t words = (int64_t{128} << 20) / 8, tasks = 4 * Threads(), part = words / tasks / 32 * 32;
  offset = (offset + words) % (static_cast<int64_t>(memory.size()) - words + 1) / 8 * 8;
  void (*read)(const uint64_t*, int64_t) = ReadPart;
#if defined(__x86_64__)
  if (CpuKernels().name.starts_with("avx512")) read = ReadPartAvx512;
#endif
  const double start = Seconds();
  Exec().pool->ParallelFor(tasks,
                           [&](int64_t task) { read(memory.data() + offset + task * part, part * 8); });
  return static_cast<double>(part * tasks * 8) / (Seconds() - start);
}

// Runs rounds of independent multiply-adds in the widest registers that the chosen kernels use. Returns the
// flops of a round.
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
  __m512 sums[16];  // different values, or the compiler keeps a single chain
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

__attribute__((target("avx512f,avx512vnni"))) double MultiplyBytes(int64_t rounds) {
  __m512i sums[16];
  for (int i = 0; i < 16; ++i) sums[i] = _mm512_set1_epi32(i);
  __m512i factor = _mm512_set1_epi8(3), step = _mm512_set1_epi8(5);
  for (int64_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+v"(factor), "+v"(step));  // or the products leave the loop
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], factor, step);
  }
  benchmark::DoNotOptimize(sums);
  return 16 * 64 * 2;
}

__attribute__((target("avx2"))) double MultiplyBytesAvx2(int64_t rounds) {
  __m256i sums[8];
  for (int i = 0; i < 8; ++i) sums[i] = _mm256_set1_epi32(i);
  __m256i factor = _mm256_set1_epi8(3), step = _mm256_set1_epi8(5);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+x"(factor), "+x"(step));
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      const __m256i pairs = _mm256_maddubs_epi16(factor, step);
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(pairs, ones));
      asm volatile("" : "+x"(factor));
    }
  }
  benchmark::DoNotOptimize(sums);
  return 8 * 32 * 2;
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

// The operands of a benchmark's multiply-adds.
enum class Arithmetic { kFloat, kPairs, kBytes };

// Flops per second of multiply-adds on all threads.
double MultiplyOnce(Arithmetic arithmetic) {
  double (*multiply)(int64_t) = MultiplyGeneric;
#if defined(__x86_64__)
  const bool bytes = arithmetic == Arithmetic::kBytes;
  if (CpuKernels().name.starts_with("avx512")) multiply = bytes ? MultiplyBytes : MultiplyAvx512;
  if (CpuKernels().name == "avx512_bf16" && arithmetic == Arithmetic::kPairs) multiply = MultiplyPairs;
  if (CpuKernels().name == "avx2") multiply = bytes ? MultiplyBytesAvx2 : MultiplyAvx2;
#endif
  const int64_t tasks = 2 * Threads(), rounds = 100000;
  std::vector<double> flops(tasks);
  const double start = Seconds();
  Exec().pool->ParallelFor(tasks, [&](int64_t task) { flops[task] = multiply(rounds); });
  return flops[0] * static_cast<double>(tasks * rounds) / (Seconds() - start);
}

// Runs `body` and, between its iterations, the two limits; reports medians.
template <class Body>
void Measure(benchmark::State& state, double bytes, double flops, Arithmetic arithmetic, Body body) {
  std::vector<double> times, reads, multiplies, shares;
  body();
  for (auto _ : state) {
    const double start = Seconds();
    body();
    const double time = Seconds() - start;
    state.SetIterationTime(time);
    times.push_back(time);
    reads.push_back(ReadOnce());
    multiplies.push_back(MultiplyOnce(arithmetic));
    shares.push_back(std::max(bytes / reads.back(), flops / multiplies.back()) / time);
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
  state.counters["of_floor"] = median(shares);
}

Arithmetic ArithmeticOf(DType type) {
  if (IsBlockFormat(type)) return Arithmetic::kBytes;
  return type == DType::kF32 ? Arithmetic::kFloat : Arithmetic::kPairs;
}

// Rows of the decoder's type: fp32 with weights of fp32, else bf16.
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

// The i-th weight [n, k] of the rotation.
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
  Measure(state, bytes, 2.0 * static_cast<double>(m * n * k), ArithmeticOf(type), [&] {
    CpuKernels().linear({x.view, RotatedWeight(type, n, k, i++), {out.data(), DType::kF32, m, n, n}}, Exec());
  });
}

// R1's routed experts of a step, gate or up projection: state.range(0) rows for each, eight experts a token.
void Experts(benchmark::State& state, DType type) {
  const int64_t rows = state.range(0), experts = rows > 64 ? 2 : 8, n = 2048, k = 7168;
  const int64_t grouped = rows * experts, tokens = std::max<int64_t>(1, grouped / 8);
  std::mt19937_64 random(3);
  std::vector<int32_t> offsets, row_index;
  for (int64_t e = 0; e <= experts; ++e) offsets.push_back(static_cast<int32_t>(e * rows));
  for (int64_t r = 0; r < grouped; ++r) row_index.push_back(static_cast<int32_t>(random() % tokens));
  const Rows x(type, tokens, k, 4);
  std::vector<float> out(grouped * n);
  int64_t next = 0;
  const double bytes = static_cast<double>(experts * PackedValueBytes(type, n, k));
  Measure(state, bytes, 2.0 * static_cast<double>(grouped * n * k), ArithmeticOf(type), [&] {
    std::vector<PackedWeight> weights;
    for (int64_t e = 0; e < experts; ++e) weights.push_back(RotatedWeight(type, n, k, next++));
    CpuKernels().grouped_linear({x.view,
                                 row_index.data(),
                                 offsets.data(),
                                 weights.data(),
                                 experts,
                                 {out.data(), DType::kF32, grouped, n, n}},
                                Exec());
  });
}

// `rows` queries of `heads` heads at the end of a context of state.range(0) tokens, bf16 as decoders have
// them, the cache of bf16 or fp8.
void Mla(benchmark::State& state, int64_t heads, int64_t rows, DType cache_type = DType::kBF16) {
  const int64_t context = state.range(0), latent = 512, rope = 64;
  const Rows cache(DType::kBF16, context, latent + rope, 5), q_latent(DType::kBF16, rows, heads * latent, 6),
      q_rope(DType::kBF16, rows, heads * rope, 7);
  const Fp8KvPage page = {latent, rope};
  std::vector<uint8_t> narrow(static_cast<size_t>(context / kPageTokens * page.bytes()));
  std::vector<int64_t> slots(static_cast<size_t>(context));
  std::iota(slots.begin(), slots.end(), 0);
  Matrix latents = cache.view, ropes = cache.view;
  latents.cols = latent;
  ropes.data = cache.view.row<bf16>(0) + latent;
  ropes.cols = rope;
  CpuKernels().kv_write({latents, ropes, slots.data(), narrow.data(), DType::kF8E4M3}, Exec());
  const bool fp8 = cache_type == DType::kF8E4M3;
  std::vector<bf16> out(static_cast<size_t>(rows * heads * latent));
  std::vector<BlockId> table;
  for (BlockId page = 0; page < context / kPageTokens; ++page) table.push_back(page);
  const AttentionSequence sequence{0, static_cast<int32_t>(rows), static_cast<int32_t>(context - rows),
                                   table.data()};
  MlaAttentionArgs args{.q_latent = q_latent.view,
                        .q_rope = q_rope.view,
                        .q_rope_head_stride = rope,
                        .heads = heads,
                        .latent_dim = latent,
                        .rope_dim = rope,
                        .scale = 0.0417f,
                        .cache = fp8 ? narrow.data() : cache.view.data,
                        .cache_type = cache_type,
                        .sequences = &sequence,
                        .num_sequences = 1,
                        .out = {out.data(), DType::kBF16, rows, heads * latent, heads * latent}};
  const double seen =
      static_cast<double>(rows) * (static_cast<double>(context) - (static_cast<double>(rows) - 1) / 2);
  Measure(state,
          static_cast<double>(fp8 ? context / kPageTokens * page.bytes() : context * (latent + rope) * 2),
          2.0 * seen * static_cast<double>(heads * (2 * latent + rope)), Arithmetic::kPairs,
          [&] { CpuKernels().mla_attention(args, Exec()); });
}

// The same queries with keys and values expanded, R1's sizes.
void Expanded(benchmark::State& state, int64_t heads, int64_t rows) {
  const int64_t context = state.range(0);
  const ExpandedShape shape = {
      .heads = heads, .nope_dim = 128, .rope_dim = 64, .value_dim = 128, .latent_dim = 512, .rows = rows};
  const int64_t entry = shape.latent_dim + shape.rope_dim,
                values = shape.latent_dim * (shape.nope_dim + shape.value_dim);
  const Rows cache(DType::kBF16, context, entry, 5), q(DType::kBF16, rows, heads * shape.query_dim(), 6),
      kv_b(DType::kBF16, heads, values, 7);
  std::vector<bf16> out(static_cast<size_t>(rows * heads * shape.value_dim));
  std::vector<BlockId> table;
  for (BlockId page = 0; page < context / kPageTokens; ++page) table.push_back(page);
  std::vector<PackedWeight> keys, value_weights;
  for (int64_t head = 0; head < heads; ++head) {
    const bf16* const of_head = kv_b.view.row<bf16>(head);
    keys.push_back({.data = of_head, .type = DType::kBF16, .n = shape.latent_dim, .k = shape.nope_dim});
    value_weights.push_back({.data = of_head + shape.latent_dim * shape.nope_dim,
                             .type = DType::kBF16,
                             .n = shape.value_dim,
                             .k = shape.latent_dim});
  }
  const AttentionSequence sequence{0, static_cast<int32_t>(rows), static_cast<int32_t>(context - rows),
                                   table.data()};
  const ExpandedAttentionArgs args = {
      .q = q.view,
      .shape = shape,
      .scale = 0.0417f,
      .key_weights = keys.data(),
      .value_weights = value_weights.data(),
      .cache = cache.view.data,
      .sequences = &sequence,
      .host_sequences = &sequence,
      .num_sequences = 1,
      .out = {out.data(), DType::kBF16, rows, heads * shape.value_dim, heads * shape.value_dim}};
  const double seen =
      static_cast<double>(rows) * (static_cast<double>(context) - (static_cast<double>(rows) - 1) / 2);
  const double flops = 2.0 * static_cast<double>(heads) *
                       (seen * static_cast<double>(shape.query_dim() + shape.value_dim) +
                        static_cast<double>(context * values));
  Measure(state, static_cast<double>(context * entry * 2 + heads * values * 2), flops, Arithmetic::kPairs,
          [&] { CpuKernels().expanded_attention(args, Exec()); });
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
  for (DType type : {DType::kF32, DType::kBF16, DType::kF8E4M3, DType::kQ8_0, DType::kQ6K, DType::kQ5K,
                     DType::kQ4K, DType::kQ3K, DType::kQ2K, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                     DType::kQ5_1, DType::kInt8G128, DType::kInt4G128}) {
    const std::string name(Name(type));
    if (!IsBlockFormat(type)) {
      add("linear 2112x7168 " + name + " rows", [type](benchmark::State& s) { Linear(s, type, 2112, 7168); },
          {1, 2, 4, 8, 64, 512});
    }
    const std::vector<int64_t> rows = {1, 8, 64, 512};
    add(
        "experts 2048x7168 " + name + " rows", [type](benchmark::State& s) { Experts(s, type); },
        type == DType::kF32 ? std::vector<int64_t>{1, 8, 64} : rows);
  }
  add("mla decode 128 heads, context", [](benchmark::State& s) { Mla(s, 128, 1); }, {4096});
  add("mla decode 16 heads, context", [](benchmark::State& s) { Mla(s, 16, 1); }, {4096});
  add("mla decode 16 heads, fp8 cache, context", [](benchmark::State& s) { Mla(s, 16, 1, DType::kF8E4M3); },
      {4096});
  add("mla prefill 128 heads, 512 rows, context", [](benchmark::State& s) { Mla(s, 128, 512); }, {512, 4096});
  add("expanded prefill 128 heads, 512 rows, context", [](benchmark::State& s) { Expanded(s, 128, 512); },
      {512, 4096});
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
