// What the kernels over rows of logits share: one block a row, as many threads as the vocabulary is worth.
#pragma once

#include "kernels/cuda/plain/device.h"

namespace deeprack::kernels::plain {

inline constexpr int kMaxRowThreads = 1024;
inline constexpr int kRowGroups = 32;  // of threads, whose results one thread goes through at the end

// A small row is given few threads: more would only wait, and the host's emulation pays for each.
inline int ThreadsForVocabulary(int64_t vocab) {
  return vocab >= 4096 ? kMaxRowThreads : vocab >= 512 ? 128 : 32;
}

// The largest logit on every thread; NaN is never it, and -infinity stands for none. Holds barriers.
__device__ inline float LargestLogit(const float* logits, int64_t vocab) {
  __shared__ float largest[kMaxRowThreads];
  const int threads = static_cast<int>(blockDim.x);
  const int thread = static_cast<int>(threadIdx.x);
  float mine = -INFINITY;
  for (int64_t i = thread; i < vocab; i += threads) mine = logits[i] > mine ? logits[i] : mine;
  __syncthreads();  // the last call's readers are done
  largest[thread] = mine;
  __syncthreads();
  if (thread < kRowGroups) {
    for (int t = thread; t < threads; t += kRowGroups) mine = largest[t] > mine ? largest[t] : mine;
  }
  __syncthreads();
  if (thread < kRowGroups) largest[thread] = mine;
  __syncthreads();
  for (int g = 0; g < kRowGroups; ++g) mine = largest[g] > mine ? largest[g] : mine;
  return mine;
}

}  // namespace deeprack::kernels::plain
