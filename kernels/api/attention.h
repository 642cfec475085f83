// Multi-head latent attention (arXiv:2405.04434) over a paged cache, in absorbed form.
//
// A token's cache entry is [latent (normed) | rope key (rotated)], latent_dim + rope_dim values, shared by
// all heads. Query head h is q_latent = W_uk,h^T q_nope (latent_dim values) and q_rope (rotated). The score
// of position s is (q_latent . latent_s + q_rope . rope_s) * scale. The output is the sum over positions of
// softmax weight times latent_s. The caller then maps the output to values with W_uv,h.
//
// One algorithm serves chunks of any length. The algorithm walks pages in order with an online softmax, so a
// query's result depends only on the query's position and its sequence's cache: the result is batch-invariant
// under any chunking.
//
// Relative error against fp64: 1e-5. On avx512_bf16, which multiplies pairs of bf16, with bf16 queries and a
// bf16 or fp8 cache, the softmax weights are rounded to bf16 as well: 1.5e-2. An fp8 cache gives the same
// bits as a bf16 cache of the same values; bf16 represents every value of an fp8 entry exactly.
#pragma once

#include "base/ids.h"
#include "kernels/api/matrix.h"

namespace deeprack::kernels {

// Rotary embedding of interleaved pairs: (x[2i], x[2i+1]) is rotated by the angle of position p, frequency i.
// In every row, head h is rotated at columns [h * head_stride + offset, h * head_stride + offset + rope_dim).
struct RopeArgs {
  Matrix x;  // [m, heads * head_stride], updated in place
  int64_t heads = 1;
  int64_t head_stride = 0;
  int64_t offset = 0;
  int64_t rope_dim = 0;
  const int32_t* positions = nullptr;  // [m]
  const float* cos = nullptr;          // [max_positions, rope_dim / 2], with YaRN's mscale factor in it
  const float* sin = nullptr;
};

// Writes one layer's cache entries: slot slots[i] = [latent[i] | rope_key[i]]. For grouped-query attention
// `latent` is the keys and `rope_key` the values of all key-value heads. A cache of kF8E4M3 is for latent
// attention only and has the pages of base/fp8_kv_page.h.
struct KvWriteArgs {
  Matrix latent;                    // [m, latent_dim]
  Matrix rope_key;                  // [m, rope_dim]
  const int64_t* slots = nullptr;   // [m]: page * kPageTokens + offset in page; below 0: not written
  void* cache = nullptr;            // [pages * kPageTokens, latent_dim + rope_dim]
  DType cache_type = DType::kBF16;  // kBF16, kF32 or kF8E4M3
};

// The three steps between the projections and latent attention: the latent's norm (kernels/api/norm.h), the
// rotary embedding of queries and key, and the write of the cache entry. Results are those of RmsNorm, Rope
// and KvWrite; only the order of the norm's sum may differ.
struct MlaPrepareArgs {
  Matrix kv;  // [m, latent_dim + rope_dim]: latent and rope key as projected; may be overwritten
  int64_t latent_dim = 0;
  const float* norm_weight = nullptr;  // [latent_dim]
  float eps = 0.0f;
  Matrix q;  // [m, heads * q_head_stride]: rope values of head h at h * stride + offset, rotated in place
  int64_t heads = 0;
  int64_t q_head_stride = 0;
  int64_t q_rope_offset = 0;
  const int32_t* positions = nullptr;  // as in RopeArgs
  const float* cos = nullptr;
  const float* sin = nullptr;
  const int64_t* slots = nullptr;  // as in KvWriteArgs
  void* cache = nullptr;
  DType cache_type = DType::kBF16;
};

// The chunk of one sequence in the batch: query rows [first_row, first_row + rows) at positions
// [first_position, first_position + rows). A batch lists its sequences in ascending order of first_row.
struct AttentionSequence {
  int32_t first_row = 0;
  int32_t rows = 0;
  int32_t first_position = 0;
  const BlockId* block_table = nullptr;  // covers first_position + rows positions
};

// The shape of a step of latent attention. Launch parameters depend on the shape alone, so one recording
// serves all steps of a shape.
struct MlaShape {
  int64_t heads = 0;
  int64_t latent_dim = 0;
  int64_t rope_dim = 0;
  int64_t rows = 0;         // in the batch
  int64_t sequences = 0;    // in the batch
  int64_t most_rows = 0;    // the most rows of one sequence
  int64_t max_context = 0;  // the most positions that a sequence may ever have
  DType cache_type = DType::kBF16;

  bool operator==(const MlaShape&) const = default;
};

struct MlaAttentionArgs {
  Matrix q_latent;  // [m, heads * latent_dim]
  Matrix q_rope;    // [m, heads * q_rope_head_stride]; rope values of head h at h * stride + q_rope_offset
  int64_t q_rope_head_stride = 0;
  int64_t q_rope_offset = 0;
  int64_t heads = 0;
  int64_t latent_dim = 0;
  int64_t rope_dim = 0;
  float scale = 1.0f;
  const void* cache = nullptr;
  DType cache_type = DType::kBF16;  // as in KvWriteArgs
  const AttentionSequence* sequences = nullptr;
  int64_t num_sequences = 0;
  Matrix out;  // [m, heads * latent_dim]
  // For backends with KernelSet::plan_mla: the plan, in memory of the device, and the shape it was made for.
  const void* plan = nullptr;
  MlaShape shape;
  int64_t cache_tokens = 0;  // the cache's capacity
};

// Grouped-query attention (arXiv:2305.13245): query head h attends with key-value head h / (heads /
// kv_heads). A token's cache entry is [keys of all kv_heads (rotated) | their values], 2 * kv_heads *
// head_dim values. The algorithm, its batch invariance and its error are those of the latent attention above.
struct GqaAttentionArgs {
  Matrix q;  // [m, heads * head_dim], rotated
  int64_t heads = 0;
  int64_t kv_heads = 0;  // divides heads
  int64_t head_dim = 0;
  float scale = 1.0f;
  const void* cache = nullptr;  // [pages * kPageTokens, 2 * kv_heads * head_dim]
  DType cache_type = DType::kBF16;
  const AttentionSequence* sequences = nullptr;
  int64_t num_sequences = 0;
  Matrix out;  // [m, heads * head_dim]
};

}  // namespace deeprack::kernels
