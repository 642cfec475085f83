// Shared by the kernels over rows of logits: one block a row, with a number of threads that suits the
// vocabulary.
#pragma once

#include "kernels/cuda/plain/device.h"

namespace deeprack::kernels::plain {

inline constexpr int kMaxRowThreads = 1024;
inline constexpr int kRowGroups = 32;  // groups of threads; one thread combines the groups' results

// A small row gets few threads: more threads would have no work, and the emulation pays for each thread.
inline int ThreadsForVocabulary(int64_t vocab) {
  return vocab >= 4096 ? kMaxRowThreads : vocab >= 512 ? 128 : 32;
}

// Returns the largest logit on every thread; NaN is ignored, and -infinity means no logit. Every thread of
// the block must call this.
__device__ inline float LargestLogit(const float* logits, int64_t vocab) {
  __shared__ float largest[kMaxRowThreads];
  const int threads = static_cast<int>(blockDim.x);
  const int thread = static_cast<int>(threadIdx.x);
  float mine = -INFINITY;
  for (int64_t i = thread; i < vocab; i += threads) mine = logits[i] > mine ? logits[i] : mine;
  __syncthreads();  // all threads have read the result of the last call
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
