// Multi-head latent attention (arXiv:2405.04434) over a paged cache, in absorbed form.
//
// A token's cache entry is [latent (normed) | rope key (rotated)], latent_dim + rope_dim values, shared by
// all heads. Query head h: q_latent = W_uk,h^T q_nope (latent_dim) and q_rope (rotated). Score of position s:
// (q_latent . latent_s + q_rope . rope_s) * scale; output: sum of softmax weights times latent_s; W_uv,h then
// maps it to values. One algorithm for chunks of any length, walking pages in order with an online
// softmax, so that a query's result depends only on its position and its own cache: batch-invariant under any
// chunking. Relative error against fp64: 1e-5; where a backend multiplies pairs of bf16 (avx512_bf16) and
// queries are bf16 and the cache is bf16 or fp8, the softmax weights are rounded to bf16 too: 1.5e-2. An fp8
// cache gives the bits of a bf16 one that holds its entries' values, which bf16 can.
#pragma once

#include "base/ids.h"
#include "kernels/api/matrix.h"

namespace deeprack::kernels {

// Rotary embedding of interleaved pairs: (x[2i], x[2i+1]) is rotated by the angle of position p, frequency i.
// Every row's head h is rotated at columns [h * head_stride + offset, + rope_dim).
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
// the two are the keys and the values of all key-value heads. A cache of kF8E4M3, for latent attention only,
// has the pages of base/fp8_kv_page.h.
struct KvWriteArgs {
  Matrix latent;                    // [m, latent_dim]
  Matrix rope_key;                  // [m, rope_dim]
  const int64_t* slots = nullptr;   // [m]: page * kPageTokens + offset in page; below 0: the row is not kept
  void* cache = nullptr;            // [pages * kPageTokens, latent_dim + rope_dim]
  DType cache_type = DType::kBF16;  // kBF16, kF32 or kF8E4M3
};

// What stands between the projections and latent attention: the latent's norm (kernels/api/norm.h), the
// rotary embedding of queries and key, and the cache entry, as RmsNorm, Rope and KvWrite make them but for
// the order of the norm's sum.
struct MlaPrepareArgs {
  Matrix kv;  // [m, latent_dim + rope_dim]: latent and rope key as projected; may be overwritten
  int64_t latent_dim = 0;
  const float* norm_weight = nullptr;  // [latent_dim]
  float eps = 0.0f;
  Matrix q;  // [m, heads * q_head_stride]: rope values of head h at h * stride + offset, rotated in place
  int64_t heads = 0;
  int64_t q_head_stride = 0;
  int64_t q_rope_offset = 0;
  const int32_t* positions = nullptr;  // as RopeArgs has them
  const float* cos = nullptr;
  const float* sin = nullptr;
  const int64_t* slots = nullptr;  // as KvWriteArgs has them
  void* cache = nullptr;
  DType cache_type = DType::kBF16;
};

// The chunk of one sequence in the batch (a batch's are in the order of their rows): query rows [first_row,
// first_row + rows) at positions [first_position, first_position + rows).
struct AttentionSequence {
  int32_t first_row = 0;
  int32_t rows = 0;
  int32_t first_position = 0;
  const BlockId* block_table = nullptr;  // covers first_position + rows positions
};

// A step of latent attention. What an operation is launched with depends on this alone, so that a recording
// serves all steps of one shape.
struct MlaShape {
  int64_t heads = 0;
  int64_t latent_dim = 0;
  int64_t rope_dim = 0;
  int64_t rows = 0;         // of the batch
  int64_t sequences = 0;    // of the batch
  int64_t most_rows = 0;    // of a sequence
  int64_t max_context = 0;  // that a sequence may ever have
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
  DType cache_type = DType::kBF16;  // as KvWriteArgs has it
  const AttentionSequence* sequences = nullptr;
  int64_t num_sequences = 0;
  Matrix out;  // [m, heads * latent_dim]
  // For backends that plan ahead (KernelSet::plan_mla): the plan, where the kernels run, and its shape.
  const void* plan = nullptr;
  MlaShape shape;
  int64_t cache_tokens = 0;  // that the cache has room for
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
