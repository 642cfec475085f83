// Latent attention on Hopper (kernels/api/attention.h has the mathematics): latent 512 + rope 64, pages of 64
// tokens, a cache of bf16 or of fp8.
//
// A page's 64 tokens are the M side of the instructions and the columns (query tokens x heads) the N side, so
// that few heads keep the tensor cores as busy as the memory. Scores = K Q^T, an online softmax in fp32 over
// the tokens, then O^T += V^T P^T. Tokens beyond a sequence's length may hold anything, NaN too.
//
// bf16: entries of 576 values. Steps of one page; P is rounded to bf16. Relative error against fp64 of the
// bf16 inputs: 8e-3 (P's rounding).
//
// fp8: the pages of base/fp8_kv_page.h: 64 entries of 640 bytes, rows that begin at multiples of 128, and
// then their scales. Queries are of the same kind, a scale each row and head (mla_prepare.h makes both). So
// scores are one sum of e4m3 and bf16 products times two scales. Steps of two pages: each warpgroup scores
// one, P is kept as e4m3(256 P scale / largest), so that a token's scale multiplies its values through P, and
// V^T passes through registers, since Hopper's e4m3 operands cannot be read transposed. Error against fp64 of
// the quantised inputs: P's rounding, 1/16 of a weight at most and independent from token to token. On the
// host's emulation with random normal values (tests/unit/sm90/mla_test.cc, 874 rows): 2.1 % of a row's
// root mean square in the mean, 12.6 % in the worst of all columns; the test holds 15 %. Not in that: the
// tensor cores' 14 bits, by estimate below 0.5 % in parts of 32 pages, and what quantising does to entries
// and queries, 1/16 of a value at most.
//
// The floor on H200 for one query token and a context of n, batch b:
//   bytes       bf16 1152 b n, fp8 644 b n, plus queries and results. fp8 at 4.2 TB/s: 0.153 ns a token.
//   operations  2 * heads * (576 + 512) b n: 278.5 kFLOP a token at 128 heads, 34.8 at 16. At 900 TFLOPS
//               (fp8; peak 1979, with the rope's 64 columns in bf16 1869) 0.309 ns a token.
// So 16 heads are bound by memory: 0.153 ns a token; 128 heads by the matrix units. A tile holds 64 columns:
// with 128 heads two blocks read each page, about at the same time, one of them from the L2.
#pragma once

#include "base/fp8_kv_page.h"
#include "kernels/api/execution.h"
#include "kernels/api/matrix.h"
#include "kernels/cuda/sm90/mla_plan.h"

namespace deeprack::kernels::sm90 {

inline constexpr int kLatent = 512;
inline constexpr int kRope = 64;
inline constexpr Fp8KvPage kFp8Page = {.latent_dim = kLatent, .rope_dim = kRope};
inline constexpr int64_t kFp8EntryBytes = kFp8Page.entry_bytes();
inline constexpr int64_t kFp8PageBytes = kFp8Page.bytes();

struct MlaArgs {
  Matrix q_latent;  // bf16 or kF8E4M3 (an fp8 cache) [m, heads * 512]; strides: multiples of 16 bytes
  Matrix q_rope;    // bf16 [m, heads * q_rope_head_stride]
  int64_t q_rope_head_stride = 0;  // multiple of 8
  int64_t q_rope_offset = 0;       // multiple of 8
  int64_t heads = 0;
  float scale = 1.0f;
  const void* cache = nullptr;  // bf16 [cache_tokens, 576]; fp8: pages as above, aligned to 128 bytes
  int64_t cache_tokens = 0;     // fp8: a multiple of 64
  // The plan, copied to the device: counts[0] items and counts[1] merges. The bounds are those of the
  // buffers: with a CUDA graph the counts change from step to step, the bounds and the tile do not.
  MlaTile tile;
  const MlaItem* items = nullptr;
  const MlaMerge* merges = nullptr;
  const int32_t* counts = nullptr;
  int64_t max_items = 0, max_merges = 0;
  float* partial_sums = nullptr;    // [partials][columns of the tile][512]
  float* partial_stats = nullptr;   // [partials][columns of the tile][2]: largest score, sum of weights
  float* scratch = nullptr;         // MlaScratchFloats
  Matrix out;                       // kBF16 or kF32 [m, heads * 512]; fp8: 16-byte aligned rows
  int blocks = 0;                   // of the grid at most: the device's multiprocessors
  const float* q_scales = nullptr;  // fp8: [m, heads], 16-byte aligned
};

constexpr int64_t MlaPartialFloats(int64_t partials, int64_t columns) { return partials * columns * kLatent; }
constexpr int64_t MlaStatFloats(int64_t partials, int64_t columns) { return partials * columns * 2; }

constexpr int64_t MlaScratchFloats(int64_t blocks, int64_t columns) { return blocks * columns * kLatent; }

void Mla(const MlaArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
