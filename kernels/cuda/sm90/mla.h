// Latent attention on Hopper (kernels/api/attention.h has the mathematics): latent 512 + rope 64, pages of 64
// tokens, a cache of bf16 or of fp8.
//
// The 64 tokens of a page are the M side of the instructions and the columns (query tokens x heads) the N
// side, so that with few heads the tensor cores keep up with the memory. Scores are K Q^T. An online softmax
// in fp32 over the tokens makes P of them. Then O^T += V^T P^T. Tokens beyond a sequence's length may hold
// anything, NaN too.
//
// bf16: a cache entry is 576 values. A step is one page. P is rounded to bf16. Relative error against fp64 of
// the bf16 inputs: 8e-3, from P's rounding.
//
// fp8: pages of base/fp8_kv_page.h: 64 entries of 640 bytes at multiples of 128 bytes, then their scales.
// Queries have the same format, with a scale for each row and head (mla_prepare.h makes entries and queries).
// A score is one sum of e4m3 and bf16 products times two scales. A step is two pages; each warpgroup scores
// one page. P is kept as e4m3(256 P scale / largest), so P carries a token's scale to the token's values. V^T
// passes through registers, since Hopper cannot read e4m3 operands transposed. Error against fp64 of the
// quantised inputs: P's rounding, at most 1/16 of a weight and independent from token to token. On the host's
// emulation with random normal values (tests/unit/sm90/mla_test.cc, 874 rows) the error is 2.1 % of a row's
// root mean square in the mean and 12.6 % in the worst column; the test allows 15 %. These figures leave out
// the 14 bits of the tensor cores (an estimate: below 0.5 % in parts of 32 pages) and the quantisation of
// entries and queries (at most 1/16 of a value).
//
// The floor on an H200, for a batch of b sequences with one query token each and a context of n tokens:
//   bytes       bf16 1152 b n, fp8 644 b n, plus queries and results. fp8 at 4.2 TB/s: 0.153 ns a token.
//   operations  2 * heads * (576 + 512) b n: 278.5 kFLOP a token at 128 heads, 34.8 kFLOP at 16 heads. At 900
//               TFLOPS (fp8; the peak is 1979, or 1869 with the rope's 64 columns in bf16): 0.309 ns a token.
// So memory bounds 16 heads (0.153 ns a token) and the tensor cores bound 128 heads. A tile has 64 columns:
// with 128 heads two blocks read each page at about the same time, one of them from the L2.
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
  // The plan, in the card's memory: counts[0] items and counts[1] merges. max_items and max_merges are the
  // sizes of the buffers. Under a CUDA graph the counts change from step to step; the sizes and the tile do
  // not.
  MlaTile tile;
  const MlaItem* items = nullptr;
  const MlaMerge* merges = nullptr;
  const int32_t* counts = nullptr;
  int64_t max_items = 0, max_merges = 0;
  float* partial_sums = nullptr;    // [partials][columns of the tile][512]
  float* partial_stats = nullptr;   // [partials][columns of the tile][2]: largest score, sum of weights
  float* scratch = nullptr;         // MlaScratchFloats
  Matrix out;                       // kBF16 or kF32 [m, heads * 512]; fp8: 16-byte aligned rows
  int blocks = 0;                   // the most blocks of the grid: the card's multiprocessors
  const float* q_scales = nullptr;  // fp8: [m, heads], 16-byte aligned
};

constexpr int64_t MlaPartialFloats(int64_t partials, int64_t columns) { return partials * columns * kLatent; }
constexpr int64_t MlaStatFloats(int64_t partials, int64_t columns) { return partials * columns * 2; }

constexpr int64_t MlaScratchFloats(int64_t blocks, int64_t columns) { return blocks * columns * kLatent; }

void Mla(const MlaArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
