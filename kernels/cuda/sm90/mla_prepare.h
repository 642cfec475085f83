// The three steps between the projections and latent attention in one kernel: the latent's norm, the rotary
// embedding of the queries (in place) and of the key, and the write of the cache entry.
#pragma once

#include "kernels/api/attention.h"
#include "kernels/api/execution.h"
#include "kernels/api/matrix.h"

namespace deeprack::kernels::sm90 {

// mla_prepare of kernels/api/attention.h, for latent 512 + rope 64, kv and q in bf16 with even strides and
// offset, and a cache of bf16 or of fp8 (aligned to 128 bytes). An fp8 entry is the quantised bf16 entry, so
// its rope values are exact.
void MlaPrepare(const MlaPrepareArgs& args, const Execution& execution);

// Quantises queries for attention over an fp8 cache: for each row and head a scale, 512 e4m3 and 64 bf16. The
// scale is a power of two that is chosen as for a cache entry.
struct MlaQuantiseQueriesArgs {
  Matrix q_latent;                 // bf16 [m, heads * 512]; 16-byte aligned, stride a multiple of 8
  Matrix q_rope;                   // bf16 [m, heads * q_rope_head_stride], rotated
  int64_t q_rope_head_stride = 0;  // even; q_rope_offset too
  int64_t q_rope_offset = 0;
  int64_t heads = 0;
  fp8_e4m3* latent = nullptr;  // [m, heads, 512], 16-byte aligned
  bf16* rope = nullptr;        // [m, heads, 64]
  float* scales = nullptr;     // [m, heads]
};
void MlaQuantiseQueries(const MlaQuantiseQueriesArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
