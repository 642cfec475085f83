// Multi-head latent attention (arXiv:2405.04434, section 2.1) over a paged cache, in expanded form: the cache
// entries [latent_s | rope_s] become keys and values of full heads before queries meet them.
//
// Of head h and position s: key = [W_uk,h latent_s | rope_s], value = W_uv,h latent_s, as the paper's (10) to
// (17) have it. Score of position s: (q . key_s) * scale; output: sum of softmax weights times value_s. In
// exact arithmetic that is what the absorbed form (attention.h) gives, W_uk moved from the keys to the
// queries; in floating point it is not. It takes nope_dim + rope_dim + value_dim multiply-adds for each
// query, key and head in place of 2 * latent_dim + rope_dim, and (nope_dim + value_dim) * latent_dim a head
// for each key of each chunk.
//
// Keys and values are rounded to the type of q. Pages are walked in order with an online softmax, so that a
// query's result depends only on its position and its own cache: batch-invariant under any chunking. Relative
// error against fp64 with keys and values rounded alike: 1e-5 for fp32 q; for bf16 q 5e-3, since sums in fp32
// round to the other side of a tie now and then; where a backend multiplies pairs of bf16 (avx512_bf16) and
// cache and weights are bf16, the softmax weights are rounded to bf16 too: 1.5e-2.
#pragma once

#include "kernels/api/attention.h"
#include "kernels/api/matrix.h"
#include "kernels/api/packed_weight.h"

namespace deeprack::kernels {

// What of it a model and a layout fix, and the most rows of a step.
struct ExpandedShape {
  DType type = DType::kBF16;  // of q, kBF16 or kF32
  int64_t heads = 0;          // 0: there is no such attention
  int64_t nope_dim = 0;       // even, as rope_dim
  int64_t rope_dim = 0;
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
  // kv_b by heads as absorption has it, in the type of q or wider: [heads] of [latent_dim, nope_dim], which
  // is W_uk,h transposed, and [heads] of [value_dim, latent_dim]. Read by the host.
  const PackedWeight* key_weights = nullptr;
  const PackedWeight* value_weights = nullptr;
  const PackedWeight* device_key_weights = nullptr;  // as in HeadLinearArgs
  const PackedWeight* device_value_weights = nullptr;
  const void* cache = nullptr;  // as in MlaAttentionArgs
  DType cache_type = DType::kBF16;
  // Their chunks are all rows of q, in order. `host_sequences`: the same, read by the host, block tables
  // aside.
  const AttentionSequence* sequences = nullptr;
  const AttentionSequence* host_sequences = nullptr;
  int64_t num_sequences = 0;
  Matrix out;  // [m, heads * value_dim]
  // For backends that plan ahead (KernelSet::plan_expanded): the plan, where the kernels run.
  const void* plan = nullptr;
};

}  // namespace deeprack::kernels
