// What stands between the projections and latent attention, in one kernel: the latent's norm, the rotary
// embedding of the queries (in place) and of the key, and the cache entry.
#pragma once

#include "kernels/api/execution.h"
#include "kernels/api/matrix.h"

namespace deeprack::kernels::sm90 {

struct MlaPrepareArgs {
  Matrix kv;                           // bf16 [m, >= 576]: latent (512) and rope key (64), as projected
  const float* norm_weight = nullptr;  // [512]
  float eps = 1e-6f;
  Matrix
      q;  // bf16 [m, heads * q_head_stride]: rope values of head h at h * stride + offset, rotated in place
  int64_t heads = 0;
  int64_t q_head_stride = 0;
  int64_t q_rope_offset = 0;           // even, as is the stride
  const int32_t* positions = nullptr;  // [m]
  const float* cos = nullptr;          // [max positions, 32], with YaRN's factor in it
  const float* sin = nullptr;
  const int64_t* slots = nullptr;  // [m]; below 0: a row that is not kept (padding)
  bf16* cache = nullptr;           // [tokens, 576]
  // In place of it the pages of an fp8 cache (mla.h), aligned to 128 bytes. The entry as it would be in bf16,
  // divided by the smallest power of two that brings the latent within e4m3; the rope's values are exact.
  uint8_t* fp8_cache = nullptr;
};
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
