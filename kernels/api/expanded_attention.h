// Multi-head latent attention (arXiv:2405.04434, section 2.1) over a paged cache, in expanded form: the cache
// entries [latent_s | rope_s] become keys and values of full heads before queries meet them.
//
// For head h and position s: key = [W_uk,h latent_s | rope_s] and value = W_uv,h latent_s (equations 10 to 17
// of the paper). The score of position s is (q . key_s) * scale. The output is the sum over positions of
// softmax weight times value_s. In exact arithmetic the absorbed form (attention.h), which applies W_uk to
// the queries, gives the same result; in floating point the two forms differ.
//
// Cost: nope_dim + rope_dim + value_dim multiply-adds for each query, key and head, where the absorbed form
// takes 2 * latent_dim + rope_dim. In addition, (nope_dim + value_dim) * latent_dim multiply-adds for each
// head and each key of each chunk.
//
// Keys and values are rounded to the type of q. Pages are walked in order with an online softmax, so a
// query's result depends only on the query's position and its sequence's cache: the result is batch-invariant
// under any chunking.
//
// Relative error against fp64 with keys and values rounded alike: 1e-5 for fp32 q; 5e-3 for bf16 q, since
// fp32 sums sometimes round to the other side of a tie. On avx512_bf16, with a bf16 cache and bf16 weights,
// the softmax weights are rounded to bf16 as well: 1.5e-2.
#pragma once

#include "kernels/api/attention.h"
#include "kernels/api/matrix.h"
#include "kernels/api/packed_weight.h"

namespace deeprack::kernels {

// The sizes that a model and a layout fix, and the most rows of a step.
struct ExpandedShape {
  DType type = DType::kBF16;  // of q, kBF16 or kF32
  int64_t heads = 0;          // 0: no expanded attention
  int64_t nope_dim = 0;       // even
  int64_t rope_dim = 0;       // even
  int64_t value_dim = 0;
  int64_t latent_dim = 0;
  int64_t rows = 0;

  int64_t query_dim() const { return nope_dim + rope_dim; }

  bool operator==(const ExpandedShape&) const = default;
};

struct ExpandedAttentionArgs {
  Matrix q;  // [m, heads * (nope | rope)], rotated
  ExpandedShape shape;
  float scale = 1.0f;
  // kv_b by heads, as the absorbed form has it, in the type of q or a wider one. `key_weights` [heads]: each
  // [latent_dim, nope_dim], W_uk,h transposed. `value_weights` [heads]: each [value_dim, latent_dim], W_uv,h.
  // The host reads both arrays.
  const PackedWeight* key_weights = nullptr;
  const PackedWeight* value_weights = nullptr;
  const PackedWeight* device_key_weights = nullptr;  // as in HeadLinearArgs
  const PackedWeight* device_value_weights = nullptr;
  const void* cache = nullptr;  // as in MlaAttentionArgs
  DType cache_type = DType::kBF16;
  // [num_sequences]; the chunks cover all rows of q in order. `host_sequences` holds the same values in host
  // memory; the host does not read their block tables.
  const AttentionSequence* sequences = nullptr;
  const AttentionSequence* host_sequences = nullptr;
  int64_t num_sequences = 0;
  Matrix out;  // [m, heads * value_dim]
  // For backends with KernelSet::plan_expanded: the plan, in memory of the device.
  const void* plan = nullptr;
};

}  // namespace deeprack::kernels
