// Attention of one query of one head to one page of keys and values, for latent and grouped-query attention.
// Every sum has the order of the CPU kernels (kernels/cpu/attention_page.h), so the bits are the same.
#pragma once

#include "base/ids.h"
#include "kernels/api/attention.h"
#include "kernels/cuda/plain/device.h"

namespace deeprack::kernels::plain {

inline constexpr int kAttentionThreads = 128;
inline constexpr int kMaxKeyDim = 1280;
inline constexpr int kMaxValueDim = 1024;
inline constexpr int kScoreBlock = 128;

// The sequence that owns a query row; sequences lie in row order.
__device__ inline const AttentionSequence& SequenceOf(const AttentionSequence* sequences, int64_t count,
                                                      int64_t row) {
  int64_t low = 0;
  int64_t high = count - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (sequences[middle].first_row <= row) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return sequences[low];
}

// The online softmax of one query, held by every thread of its block. Thread t sums value dimensions t, t +
// 128, ...
struct Attended {
  float sums[kMaxValueDim / kAttentionThreads] = {};
  float maximum = -INFINITY;
  float weight = 0;
};

// The sum of 2 * kHalf lanes in lanes[0]: halves folded onto each other.
template <int kHalf>
__device__ void FoldHalf(float (&lanes)[16]) {
  DR_UNROLL
  for (int lane = 0; lane < kHalf; ++lane) lanes[lane] += lanes[lane + kHalf];
  if constexpr (kHalf > 1) FoldHalf<kHalf / 2>(lanes);
}

// Keys or values of a page: element i of position s. Positions are `stride` elements apart.
template <class C>
struct PageRows {
  const C* first;
  int64_t stride;
  __device__ float operator()(int s, int64_t i) const { return ToFloat(first[s * stride + i]); }
};

// Adds the first `count` positions of a page. Has barriers, so every thread of the block must call it.
template <class Keys, class Values>
__device__ void AttendPage(const float* query, int64_t key_dim, const Keys& keys, int64_t value_dim,
                           const Values& values, int count, float scale, Attended& attended) {
  __shared__ float scores[kPageTokens];
  const int thread = static_cast<int>(threadIdx.x);
  __syncthreads();  // the last page's weights have been read, and the query has been written
  if (thread < kPageTokens) {
    // Sums run over 128 dimensions at a time and are then added up; one sum over all dimensions would lose a
    // digit.
    float score = 0;
    for (int64_t first = 0; first < key_dim && thread < count; first += kScoreBlock) {
      const int64_t end = key_dim < first + kScoreBlock ? key_dim : first + kScoreBlock;
      float sum = 0;
      for (int64_t i = first; i < end; ++i) sum = fmaf(query[i], keys(thread, i), sum);
      score = first == 0 ? sum : score + sum;
    }
    scores[thread] = thread < count ? score * scale : -INFINITY;
  }
  __syncthreads();
  float maximum = attended.maximum;
  for (int s = 0; s < count; ++s) maximum = scores[s] > maximum ? scores[s] : maximum;
  __syncthreads();  // all threads have the maximum before scores become weights
  if (thread < kPageTokens) scores[thread] = Exp(scores[thread] - maximum);
  __syncthreads();
  float lanes[16];
  DR_UNROLL
  for (int lane = 0; lane < 16; ++lane) {
    lanes[lane] = scores[lane];
    for (int s = 16 + lane; s < kPageTokens; s += 16) lanes[lane] += scores[s];
  }
  FoldHalf<8>(lanes);
  const float correction = Exp(attended.maximum - maximum);  // 0 for the first page
  attended.weight = attended.weight * correction + lanes[0];
  attended.maximum = maximum;
  DR_UNROLL
  for (int i = 0; i < kMaxValueDim / kAttentionThreads; ++i) {
    const int64_t d = thread + i * kAttentionThreads;
    if (d >= value_dim) continue;
    float sum = attended.sums[i] * correction;
    for (int s = 0; s < count; ++s) sum = fmaf(scores[s], values(s, d), sum);
    attended.sums[i] = sum;
  }
}

template <class O>
__device__ void StoreAttended(const Attended& attended, int64_t value_dim, O* out) {
  const float inverse = 1.0f / attended.weight;
  DR_UNROLL
  for (int i = 0; i < kMaxValueDim / kAttentionThreads; ++i) {
    const int64_t d = static_cast<int64_t>(threadIdx.x) + i * kAttentionThreads;
    if (d < value_dim) out[d] = FromFloat<O>(attended.sums[i] * inverse);
  }
}

}  // namespace deeprack::kernels::plain
