// Times the plain CUDA kernels at R1's sizes. Prints a line for each: time, bytes and flops per second, and
// the share of the floor. The floor is the longer of two times: the bytes at the card's measured copy
// bandwidth, and the flops at the peak of its tensor cores. Each kernel first runs twice and must give the
// same bits. Weights rotate through more memory than the cache holds.
#include <algorithm>
#include <cstdio>
#include <numeric>
#include <random>
#include <vector>

#include "bench/gpu/device_memory.h"
#include "bench/gpu/kernel_timer.h"
#include "kernels/cuda/plain/operations.h"

namespace deeprack::bench {
namespace {

using namespace kernels;

constexpr int64_t kHidden = 7168, kExpertWidth = 2048, kLatent = 512, kRope = 64, kTopK = 8,
                  kAllExperts = 256;
constexpr int64_t kRotation = int64_t{1} << 30;  // bytes of weights to go through

// Memory that all cases share.
class Bench {
 public:
  explicit Bench(const CardLimits& limits) : limits_(limits) {
    const std::vector<float> ones(size_t{1} << 22, 0.01f);
    small_floats_ = OnDevice(ones);
  }

  Matrix Activations(int64_t rows, int64_t cols, DType type = DType::kBF16) {
    held_.push_back(RandomOnDevice(rows * cols * static_cast<int64_t>(SizeOf(type))));
    return {held_.back().get(), type, rows, cols, cols};
  }
  const float* SmallFloats() const { return static_cast<const float*>(small_floats_.get()); }

  PackedWeight Weight(int64_t n, int64_t k, int64_t i) const {
    const int64_t bytes = PackedValueBytes(DType::kF8E4M3, n, k);
    const char* memory = static_cast<const char*>(weights_.get());
    return {memory + i % (kRotation / bytes) * bytes, SmallFloats(), DType::kF8E4M3, n, k, 0};
  }

  template <class T>
  T* Keep(DeviceMemory memory) {
    held_.push_back(std::move(memory));
    return static_cast<T*>(held_.back().get());
  }

  void Time(KernelCase kernel, const Matrix& out) {
    kernel.out = out.data;
    kernel.out_bytes = out.rows * out.stride * static_cast<int64_t>(SizeOf(out.type));
    ++(TimeKernel(kernel, limits_) ? passed : failed);
    held_.clear();
  }

  int passed = 0, failed = 0;

 private:
  const CardLimits limits_;
  DeviceMemory weights_ = RandomOnDevice(kRotation);
  DeviceMemory small_floats_;
  std::vector<DeviceMemory> held_;  // memory of the current case
};

double BytesOf(const Matrix& matrix) {
  return static_cast<double>(matrix.rows * matrix.cols * static_cast<int64_t>(SizeOf(matrix.type)));
}

void Linears(Bench& bench) {
  struct Size {
    int64_t n, k;
  };
  for (const Size size :
       {Size{2112, 7168}, Size{24576, 1536}, Size{7168, 16384}, Size{4096, 7168}, Size{7168, 2048}}) {
    for (const int64_t m : {1, 8, 64}) {
      const Matrix x = bench.Activations(m, size.k), out = bench.Activations(m, size.n);
      char name[80];
      std::snprintf(name, sizeof(name), "plain linear fp8 %ldx%ld, %ld rows", size.n, size.k, m);
      bench.Time({.name = name,
                  .bytes = static_cast<double>(size.n * size.k) + BytesOf(x) + BytesOf(out),
                  .flops = 2.0 * static_cast<double>(m * size.n * size.k),
                  .run =
                      [=, &bench](int64_t i) {
                        plain::Linear({x, bench.Weight(size.n, size.k, i), out}, {});
                      }},
                 out);
    }
  }
}

// An 8-way expert parallel rank: 32 experts, each with the same number of rows.
void Experts(Bench& bench) {
  const int64_t experts = 32, n = 2 * kExpertWidth, k = kHidden;
  for (const int64_t rows_each : {1, 8}) {
    const int64_t rows = experts * rows_each;
    const Matrix x = bench.Activations(rows, k), out = bench.Activations(rows, n);
    std::vector<int32_t> offsets(experts + 1);
    for (int64_t e = 0; e <= experts; ++e) offsets[e] = static_cast<int32_t>(e * rows_each);
    std::vector<PackedWeight> weights;
    for (int64_t e = 0; e < experts; ++e) weights.push_back(bench.Weight(n, k, e));
    const auto* const device_offsets =
        bench.Keep<int32_t>(OnBoth(offsets.data(), static_cast<int64_t>(offsets.size() * 4)));
    const auto* const device_weights = bench.Keep<PackedWeight>(
        OnBoth(weights.data(), static_cast<int64_t>(weights.size() * sizeof(PackedWeight))));
    char name[80];
    std::snprintf(name, sizeof(name), "plain experts fp8 32 of 4096x7168, %ld rows each", rows_each);
    bench.Time({.name = name,
                .bytes = static_cast<double>(experts * n * k) + BytesOf(x) + BytesOf(out),
                .flops = 2.0 * static_cast<double>(rows * n * k),
                .run =
                    [=](int64_t) {
                      plain::GroupedLinear({x, nullptr, device_offsets, device_weights, experts, out}, {});
                    }},
               out);
  }
}

void Attention(Bench& bench) {
  struct Size {
    int64_t heads, batch, context;
  };
  for (const Size size : {Size{128, 1, 4096}, Size{128, 32, 4096}, Size{16, 32, 4096}}) {
    const int64_t pages = size.context / kPageTokens;
    const Matrix cache = bench.Activations(size.batch * size.context, kLatent + kRope);
    const Matrix q_latent = bench.Activations(size.batch, size.heads * kLatent);
    const Matrix q_rope = bench.Activations(size.batch, size.heads * kRope);
    const Matrix out = bench.Activations(size.batch, size.heads * kLatent);
    std::vector<BlockId> table(static_cast<size_t>(size.batch * pages));
    std::iota(table.begin(), table.end(), 0);
    std::shuffle(table.begin(), table.end(), std::mt19937(3));
    const auto* const device_table = bench.Keep<BlockId>(OnDevice(table));
    std::vector<AttentionSequence> sequences;
    for (int64_t s = 0; s < size.batch; ++s) {
      sequences.push_back(
          {static_cast<int32_t>(s), 1, static_cast<int32_t>(size.context - 1), device_table + s * pages});
    }
    const auto* const device_sequences = bench.Keep<AttentionSequence>(
        OnBoth(sequences.data(), static_cast<int64_t>(sequences.size() * sizeof(AttentionSequence))));
    const MlaAttentionArgs args = {.q_latent = q_latent,
                                   .q_rope = q_rope,
                                   .q_rope_head_stride = kRope,
                                   .heads = size.heads,
                                   .latent_dim = kLatent,
                                   .rope_dim = kRope,
                                   .scale = 0.0417f,
                                   .cache = cache.data,
                                   .sequences = device_sequences,
                                   .num_sequences = size.batch,
                                   .out = out};
    char name[80];
    std::snprintf(name, sizeof(name), "plain mla decode %ld heads, %ld x %ld", size.heads, size.batch,
                  size.context);
    bench.Time(
        {.name = name,
         .bytes = BytesOf(cache) + BytesOf(q_latent) + BytesOf(out),
         .flops = 2.0 * static_cast<double>(size.batch * size.heads * size.context * (2 * kLatent + kRope)),
         .run = [=](int64_t) { plain::MlaAttention(args, {}); }},
        out);
  }
}

void Rows(Bench& bench) {
  const int64_t m = 64;
  {
    const Matrix x = bench.Activations(m, kHidden), out = bench.Activations(m, kHidden);
    const float* const weight = bench.SmallFloats();
    bench.Time({.name = "plain rms_norm, 64 rows",
                .bytes = BytesOf(x) + BytesOf(out),
                .run =
                    [=](int64_t) {
                      plain::RmsNorm({x, weight, 1e-6f, out}, {});
                    }},
               out);
  }
  {
    const Matrix gate_up = bench.Activations(m * kTopK, 2 * kExpertWidth),
                 out = bench.Activations(m * kTopK, kExpertWidth);
    bench.Time({.name = "plain swiglu, 512 rows",
                .bytes = BytesOf(gate_up) + BytesOf(out),
                .run =
                    [=](int64_t) {
                      plain::SwiGlu({gate_up, out}, {});
                    }},
               out);
  }
  {
    std::vector<float> values(static_cast<size_t>(m * kAllExperts)), bias(kAllExperts, 0.1f);
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    for (float& value : values) value = normal(random);
    const auto* const logits = bench.Keep<float>(OnDevice(values));
    const auto* const device_bias = bench.Keep<float>(OnDevice(bias));
    const Matrix weights = bench.Activations(m, kTopK, DType::kF32),
                 ids = bench.Activations(m, kTopK, DType::kF32);
    const GateArgs args = {.logits = logits,
                           .bias = device_bias,
                           .m = m,
                           .experts = kAllExperts,
                           .n_group = 8,
                           .topk_group = 4,
                           .top_k = kTopK,
                           .routed_scaling_factor = 2.5f,
                           .ids = static_cast<int32_t*>(ids.data),
                           .weights = static_cast<float*>(weights.data)};
    bench.Time({.name = "plain gate, 64 rows of 256 experts",
                .bytes = static_cast<double>(values.size() * 4) + BytesOf(weights) + BytesOf(ids),
                .run = [=](int64_t) { plain::Gate(args, {}); }},
               weights);
  }
}

int Main() {
  Bench bench(MeasureCard());
  Linears(bench);
  Experts(bench);
  Attention(bench);
  Rows(bench);
  std::printf("%d kernels gave the same bits twice, %d did not\n", bench.passed, bench.failed);
  return bench.failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace deeprack::bench

int main() { return deeprack::bench::Main(); }
