// What stands between the projections and latent attention, in one kernel: the latent's norm, the rotary
// embedding of the queries (in place) and of the key, and the cache entry.
#pragma once

#include "kernels/api/attention.h"
#include "kernels/api/execution.h"
#include "kernels/api/matrix.h"

namespace deeprack::kernels::sm90 {

// kernels/api has the arguments. Here: latent 512 + rope 64, kv and q bf16 with even strides and offset, a
// cache of bf16 or, aligned to 128 bytes, of fp8; an fp8 entry is the bf16 one quantised, so that its rope is
// exact.
void MlaPrepare(const MlaPrepareArgs& args, const Execution& execution);

// Queries as attention over an fp8 cache reads them: of each row and head a power of two for a scale, chosen
// as an entry's is, 512 e4m3 and 64 bf16.
struct MlaQuantiseQueriesArgs {
  Matrix q_latent;                 // bf16 [m, heads * 512]; 16-byte aligned, stride a multiple of 8
  Matrix q_rope;                   // bf16 [m, heads * q_rope_head_stride], rotated
  int64_t q_rope_head_stride = 0;  // even, as is the offset
  int64_t q_rope_offset = 0;
  int64_t heads = 0;
  fp8_e4m3* latent = nullptr;  // [m, heads, 512], 16-byte aligned
  bf16* rope = nullptr;        // [m, heads, 64]
  float* scales = nullptr;     // [m, heads]
};
void MlaQuantiseQueries(const MlaQuantiseQueriesArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
