// Draws tokens without a sort, plain. One block for each row. The order of weight is: the likelier token
// first, and among equals the lower id. The tokens are never stored in this order. A place in the order is
// found by its running mass, one digit of the weight's bits after the other (30 bits, because weights are in
// [0, 1]), from histograms of whole numbers. So the sums are exact, and the drawn tokens are the CPU's.
// Bytes: the row's logits once for each pass, from the second pass on out of the L2 cache. A draw takes 5
// passes; top-k and top-p take 4 more each, min-p takes 1.
#include "kernels/cuda/plain/logits_row.h"
#include "kernels/cuda/plain/operations.h"
#include "kernels/draw/mass.h"

namespace deeprack::kernels::plain {
namespace {

constexpr int kDigits = 3;
constexpr int kDigitBits = 10;
constexpr int kBins = 1 << kDigitBits;

using Sum = unsigned long long;  // a Mass in the type that atomicAdd takes

// A row's weights for the draw.
struct Weights {
  const float* logits;
  int64_t vocab;
  float largest;
  float inverse;

  __device__ float At(int64_t i) const {
    const float weight = Exp((logits[i] - largest) * inverse);
    return weight > 0 ? weight : 0.0f;  // a NaN has weight 0
  }
};

// The end of a run of tokens in order of weight. The run has all tokens above `bits` and the first `ties`
// tokens with exactly these bits.
struct Prefix {
  uint32_t bits;
  Sum ties;
};

// The sum of value(i) over all i, returned to every thread. Has barriers.
template <class Value>
__device__ Sum SumOver(int64_t count, Value value) {
  __shared__ Sum total;
  __syncthreads();  // all threads have read the result of the last call
  if (threadIdx.x == 0) total = 0;
  __syncthreads();
  Sum mine = 0;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) mine += value(i);
  if (mine > 0) atomicAdd(&total, mine);
  __syncthreads();
  return total;
}

// The first i at which value(0) + ... + value(i) exceeds `target`, returned to every thread. The sum of all
// values must exceed `target`. Has barriers.
template <class Value>
__device__ int64_t FirstBeyond(int64_t count, Sum target, Value value) {
  __shared__ Sum sums[kMaxRowThreads];
  __shared__ int found;
  const int threads = static_cast<int>(blockDim.x);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t each = (count + threads - 1) / threads;
  const int64_t begin = thread * each;
  const int64_t end = begin + each < count ? begin + each : count;
  Sum mine = 0;
  for (int64_t i = begin; i < end; ++i) mine += value(i);
  __syncthreads();  // all threads have read the result of the last call
  sums[thread] = mine;
  __syncthreads();
  if (thread == 0) {
    Sum before = 0;
    for (int t = 0; t < threads; ++t) {
      const Sum one = sums[t];
      sums[t] = before;
      before += one;
    }
  }
  __syncthreads();
  Sum sum = sums[thread];
  if (sum <= target && sum + mine > target) {
    int64_t i = begin;
    while ((sum += value(i)) <= target) ++i;
    found = static_cast<int>(i);
  }
  __syncthreads();
  return found;
}

// The shortest run of tokens, in order of weight, whose values add up to at least `needed` > 0. The values of
// all tokens must add up to at least `needed`. A token with weight bits b has value(b). Returned to every
// thread. Has barriers.
template <class Value>
__device__ Prefix ShortestPrefix(const Weights& weights, Sum needed, Value value) {
  __shared__ Sum bins[kBins];
  __shared__ Sum groups[kRowGroups];
  __shared__ uint32_t chosen;
  __shared__ Sum still_needed;
  const int thread = static_cast<int>(threadIdx.x);
  uint32_t high = 0;  // the digits that are known so far
  for (int digit = kDigits - 1; digit >= 0; --digit) {
    const int shift = digit * kDigitBits;
    __syncthreads();  // all threads have read the result of the last digit
    for (int b = thread; b < kBins; b += blockDim.x) bins[b] = 0;
    __syncthreads();
    for (int64_t i = thread; i < weights.vocab; i += blockDim.x) {
      const uint32_t bits = std::bit_cast<uint32_t>(weights.At(i));
      if (bits == 0 || bits >> (shift + kDigitBits) != high) continue;
      const Sum one = value(bits);
      if (one > 0) atomicAdd(&bins[(bits >> shift) % kBins], one);
    }
    __syncthreads();
    constexpr int kEach = kBins / kRowGroups;
    if (thread < kRowGroups) {
      Sum sum = 0;
      for (int b = 0; b < kEach; ++b) sum += bins[thread * kEach + b];
      groups[thread] = sum;
    }
    __syncthreads();
    if (thread == 0) {
      int group = kRowGroups - 1;
      while (groups[group] < needed) needed -= groups[group--];
      int bin = group * kEach + kEach - 1;
      while (bins[bin] < needed) needed -= bins[bin--];
      chosen = high << kDigitBits | static_cast<uint32_t>(bin);
      still_needed = needed;
    }
    __syncthreads();
    high = chosen;
    needed = still_needed;
  }
  const Sum one = value(high);
  return {high, (needed + one - 1) / one};
}

__device__ inline Sum MassOfBits(uint32_t bits) { return MassOf(std::bit_cast<float>(bits)); }

// The mass of a run in order of weight. Has barriers.
__device__ inline Sum MassOfPrefix(const Weights& weights, const Prefix& prefix) {
  return prefix.ties * MassOfBits(prefix.bits) + SumOver(weights.vocab, [&](int64_t i) -> Sum {
           const uint32_t bits = std::bit_cast<uint32_t>(weights.At(i));
           return bits > prefix.bits ? MassOfBits(bits) : 0;
         });
}

// The part of `total` that top_k, top_p and min_p keep. Each of them keeps a run that begins at the likeliest
// token, so the shortest run is kept.
__device__ inline Sum KeptMass(const Weights& weights, const Draw& draw, Sum total) {
  Sum kept = total;
  if (draw.top_k > 0) {
    const Sum count = SumOver(weights.vocab, [&](int64_t i) -> Sum { return weights.At(i) > 0; });
    if (count > static_cast<Sum>(draw.top_k)) {
      kept = MassOfPrefix(weights, ShortestPrefix(weights, draw.top_k, [](uint32_t) -> Sum { return 1; }));
    }
  }
  if (draw.top_p < 1) {
    const Sum needed = NeededMass(draw.top_p, kept);
    const Prefix prefix = ShortestPrefix(weights, needed > 0 ? needed : 1, MassOfBits);
    const Sum mass = MassOfPrefix(weights, prefix);
    kept = mass < kept ? mass : kept;
  }
  if (draw.min_p > 0) {
    const Sum mass = SumOver(weights.vocab, [&](int64_t i) -> Sum {
      const float weight = weights.At(i);
      return weight >= draw.min_p ? MassOf(weight) : 0;
    });
    kept = mass < kept ? mass : kept;
  }
  return kept;
}

__global__ void SampleKernel(SampleArgs args) {
  const Draw draw = args.draws[blockIdx.x];
  const float* logits = args.logits.row<float>(blockIdx.x);
  const int64_t vocab = args.logits.cols;
  const float largest = LargestLogit(logits, vocab);
  const Weights weights = {logits, vocab, largest, 1.0f / draw.temperature};
  const bool greedy = draw.temperature < kGreedyTemperature || largest == -INFINITY;
  const Sum total = greedy ? 0 : SumOver(vocab, [&](int64_t i) -> Sum { return MassOf(weights.At(i)); });
  int64_t token = 0;
  if (total == 0) {
    const auto is_largest = [&](int64_t i) -> Sum { return logits[i] == largest; };
    // If no logit is the largest, all are NaN.
    if (SumOver(vocab, is_largest) > 0) token = FirstBeyond(vocab, 0, is_largest);
  } else if ((draw.top_k <= 0 || draw.top_k >= vocab) && draw.top_p >= 1 && draw.min_p <= 0) {
    token = FirstBeyond(vocab, DrawnMass(draw.seed, draw.position, total),
                        [&](int64_t i) -> Sum { return MassOf(weights.At(i)); });
  } else {
    const Sum kept = KeptMass(weights, draw, total);
    const Prefix prefix = ShortestPrefix(weights, DrawnMass(draw.seed, draw.position, kept) + 1, MassOfBits);
    token = FirstBeyond(vocab, prefix.ties - 1,
                        [&](int64_t i) -> Sum { return std::bit_cast<uint32_t>(weights.At(i)) == prefix.bits; });
  }
  if (threadIdx.x == 0) args.tokens[blockIdx.x] = static_cast<TokenId>(token);
}

}  // namespace

void Sample(const SampleArgs& args, const Execution& execution) {
  if (args.logits.rows == 0) return;
  DR_LAUNCH(SampleKernel, dim3(args.logits.rows), dim3(ThreadsForVocabulary(args.logits.cols)), execution, args);
}

}  // namespace deeprack::kernels::plain
