// Latent attention on Hopper (kernels/api/attention.h has the mathematics): bf16 cache, latent 512 + rope 64,
// pages of 64 tokens.
//
// A page's 64 tokens are the M side of the instructions and the columns (query tokens x heads) the N side, so
// that few heads keep the tensor cores as busy as the memory. For each page: scores = K Q^T, an online
// softmax in fp32 over the page's tokens, then O^T += V^T P^T with P rounded to bf16. Relative error against
// fp64 of the bf16 inputs: 8e-3 (P's rounding). Bytes: a tile reads its pages once: with 128 heads two blocks
// read each page, about at the same time. Tokens beyond a sequence's length may hold anything, NaN too.
#pragma once

#include "kernels/api/execution.h"
#include "kernels/api/matrix.h"
#include "kernels/cuda/sm90/mla_plan.h"

namespace deeprack::kernels::sm90 {

inline constexpr int kLatent = 512;
inline constexpr int kRope = 64;

struct MlaArgs {
  Matrix q_latent;                 // bf16 [m, heads * 512]; strides: multiples of 8
  Matrix q_rope;                   // bf16 [m, heads * q_rope_head_stride]
  int64_t q_rope_head_stride = 0;  // multiple of 8
  int64_t q_rope_offset = 0;       // multiple of 8
  int64_t heads = 0;
  float scale = 1.0f;
  const void* cache = nullptr;  // bf16 [cache_tokens, 576]
  int64_t cache_tokens = 0;
  // The plan, copied to the device: counts[0] items and counts[1] merges. The bounds are those of the
  // buffers: with a CUDA graph the counts change from step to step, the bounds and the tile do not.
  MlaTile tile;
  const MlaItem* items = nullptr;
  const MlaMerge* merges = nullptr;
  const int32_t* counts = nullptr;
  int64_t max_items = 0, max_merges = 0;
  float* partial_sums = nullptr;   // [partials][columns of the tile][512]
  float* partial_stats = nullptr;  // [partials][columns of the tile][2]: largest score, sum of weights
  float* scratch = nullptr;        // MlaScratchFloats
  Matrix out;                      // kBF16 or kF32 [m, heads * 512]
  int blocks = 0;                  // of the grid at most: the device's multiprocessors
};

constexpr int64_t MlaPartialFloats(int64_t partials, int64_t columns) { return partials * columns * kLatent; }
constexpr int64_t MlaStatFloats(int64_t partials, int64_t columns) { return partials * columns * 2; }

constexpr int64_t MlaScratchFloats(int64_t blocks, int64_t columns) { return blocks * columns * kLatent; }

void Mla(const MlaArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
