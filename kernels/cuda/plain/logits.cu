// Checks and adjusts logits, and computes log-probabilities without a sort, plain. One block for each row.
#include "kernels/cuda/plain/logits_row.h"
#include "kernels/cuda/plain/operations.h"

namespace deeprack::kernels::plain {
namespace {

constexpr int kThreads = 256;

// Every thread looks for the first of its logits that is not finite; threads and groups of threads then take
// the lowest token. The bits are tested, since a compiler may fold a test of the number.
__global__ void FindNonFiniteKernel(FindNonFiniteArgs args) {
  __shared__ int64_t lowest[kMaxRowThreads];
  const float* logits = args.logits.row<float>(blockIdx.x);
  const int64_t vocab = args.logits.cols;
  const int threads = static_cast<int>(blockDim.x);
  const int thread = static_cast<int>(threadIdx.x);
  int64_t mine = vocab;  // none
  for (int64_t i = thread; i < vocab && mine == vocab; i += threads) {
    if ((std::bit_cast<uint32_t>(logits[i]) & 0x7f800000u) == 0x7f800000u) mine = i;
  }
  lowest[thread] = mine;
  __syncthreads();
  if (thread < kRowGroups) {
    for (int t = thread + kRowGroups; t < threads; t += kRowGroups) {
      lowest[thread] = lowest[t] < lowest[thread] ? lowest[t] : lowest[thread];
    }
  }
  __syncthreads();
  if (thread != 0) return;
  for (int g = 0; g < kRowGroups; ++g) mine = lowest[g] < mine ? lowest[g] : mine;
  args.tokens[blockIdx.x] = mine == vocab ? -1 : static_cast<TokenId>(mine);
}

__global__ void AdjustLogitsKernel(AdjustLogitsArgs args) {
  const LogitAdjustment adjustment = args.rows[blockIdx.x];
  float* logits = args.logits.row<float>(blockIdx.x);
  const int64_t vocab = args.logits.cols;
  for (int i = threadIdx.x; i < adjustment.num_biases; i += kThreads) {
    const LogitBias bias = args.biases[adjustment.first_bias + i];
    if (bias.token >= 0 && bias.token < vocab) logits[bias.token] += bias.bias;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < adjustment.num_counts; i += kThreads) {
    const LogitPenaltyCount count = args.counts[adjustment.first_count + i];
    if (count.token < 0 || count.token >= vocab) continue;
    float logit = logits[count.token];
    if (count.in_prompt > 0 || count.in_output > 0) {
      logit = logit > 0 ? logit / adjustment.repetition_penalty : logit * adjustment.repetition_penalty;
    }
    logit -= adjustment.frequency_penalty * static_cast<float>(count.in_output);
    if (count.in_output > 0) logit -= adjustment.presence_penalty;
    logits[count.token] = logit;
  }
}

// blockIdx.x is the row, blockIdx.y a part of the row with as many tokens as the block has threads.
__global__ void MaskLogitsKernel(MaskLogitsArgs args) {
  const int32_t mask = args.row_masks[blockIdx.x];
  const int64_t vocab = args.logits.cols;
  const int64_t token = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  if (mask < 0 || token >= vocab) return;
  const uint32_t word = args.masks[mask * ((vocab + 31) / 32) + token / 32];
  if ((word >> (token % 32) & 1) == 0) args.logits.row<float>(blockIdx.x)[token] = -INFINITY;
}

// The logarithm of the sum of exponentials, returned to every thread. Threads, and groups of threads, add in
// order. Has barriers.
__device__ inline double LogSum(const float* logits, int64_t vocab) {
  __shared__ double sums[kMaxRowThreads];
  const int threads = static_cast<int>(blockDim.x);
  const int thread = static_cast<int>(threadIdx.x);
  const float largest = LargestLogit(logits, vocab);
  double sum = 0;
  for (int64_t i = thread; i < vocab; i += threads) sum += static_cast<double>(Exp(logits[i] - largest));
  sums[thread] = sum;
  __syncthreads();
  if (thread < kRowGroups) {
    for (int t = thread + kRowGroups; t < threads; t += kRowGroups) sums[thread] += sums[t];
  }
  __syncthreads();
  double total = 0;
  for (int g = 0; g < kRowGroups; ++g) total += sums[g];
  return static_cast<double>(largest) + log(total);
}

struct Place {
  float logit;
  int id;  // -1: there is no place
};

// True if a comes before b: the larger logit is first, and among equal logits the lower id.
__device__ inline bool Before(const Place& a, const Place& b) {
  return a.id >= 0 && (b.id < 0 || a.logit > b.logit || (a.logit == b.logit && a.id < b.id));
}

// The first place after `last` in this order, returned to every thread. With last.id -1 it is the first place
// of all. Has barriers.
__device__ inline Place NextLargest(const float* logits, int64_t vocab, const Place& last) {
  __shared__ Place places[kMaxRowThreads];
  const int threads = static_cast<int>(blockDim.x);
  const int thread = static_cast<int>(threadIdx.x);
  Place best = {0, -1};
  for (int64_t i = thread; i < vocab; i += threads) {
    const Place place = {logits[i], static_cast<int>(i)};
    const bool is_number = place.logit == place.logit;
    if (is_number && (last.id < 0 || Before(last, place)) && Before(place, best)) best = place;
  }
  __syncthreads();  // all threads have read the result of the last call
  places[thread] = best;
  __syncthreads();
  if (thread < kRowGroups) {
    for (int t = thread; t < threads; t += kRowGroups) best = Before(places[t], best) ? places[t] : best;
  }
  __syncthreads();
  if (thread < kRowGroups) places[thread] = best;
  __syncthreads();
  for (int g = 0; g < kRowGroups; ++g) best = Before(places[g], best) ? places[g] : best;
  return best;
}

// blockIdx.x is the scored row.
__global__ void LogprobsKernel(LogprobsArgs args) {
  const ScoredRow scored = args.rows[blockIdx.x];
  const float* logits = args.logits.row<float>(scored.row);
  const int64_t vocab = args.logits.cols;
  const TokenId token = scored.token >= 0 ? scored.token : args.drawn[scored.row];
  const double log_sum = LogSum(logits, vocab);
  if (threadIdx.x == 0)
    args.logprobs[blockIdx.x] = static_cast<float>(static_cast<double>(logits[token]) - log_sum);
  Place last = {0, -1};
  for (int i = 0; i < scored.num_top; ++i) {
    if (i == 0 || last.id >= 0) last = NextLargest(logits, vocab, last);
    if (threadIdx.x != 0) continue;
    args.top_ids[scored.first_top + i] = last.id;
    args.top_logprobs[scored.first_top + i] =
        last.id < 0 ? -INFINITY : static_cast<float>(static_cast<double>(last.logit) - log_sum);
  }
}

}  // namespace

void FindNonFinite(const FindNonFiniteArgs& args, const Execution& execution) {
  if (args.logits.rows == 0) return;
  DR_LAUNCH(FindNonFiniteKernel, dim3(args.logits.rows), dim3(ThreadsForVocabulary(args.logits.cols)),
            execution, args);
}

void AdjustLogits(const AdjustLogitsArgs& args, const Execution& execution) {
  if (args.logits.rows == 0) return;
  DR_LAUNCH(AdjustLogitsKernel, dim3(args.logits.rows), dim3(kThreads), execution, args);
}

void MaskLogits(const MaskLogitsArgs& args, const Execution& execution) {
  if (args.logits.rows == 0) return;
  const int64_t parts = (args.logits.cols + kThreads - 1) / kThreads;
  DR_LAUNCH(MaskLogitsKernel, dim3(args.logits.rows, parts), dim3(kThreads), execution, args);
}

void Logprobs(const LogprobsArgs& args, const Execution& execution) {
  if (args.m == 0) return;
  DR_LAUNCH(LogprobsKernel, dim3(args.m), dim3(ThreadsForVocabulary(args.logits.cols)), execution, args);
}

}  // namespace deeprack::kernels::plain
