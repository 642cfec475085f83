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
};
void MlaPrepare(const MlaPrepareArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
