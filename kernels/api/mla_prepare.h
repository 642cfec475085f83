// The preparation of latent attention (MlaPrepareArgs), with any backend.
#pragma once

#include <cstddef>

#include "kernels/api/kernel_set.h"

namespace deeprack::kernels {

// Calls KernelSet::mla_prepare or, where it is null, rope, rms_norm and kv_write.
inline void PrepareMla(const KernelSet& kernels, const MlaPrepareArgs& args, const Execution& execution) {
  if (kernels.mla_prepare != nullptr) return kernels.mla_prepare(args, execution);
  const int64_t rope_dim = args.kv.cols - args.latent_dim;
  Matrix latent = args.kv, rope_key = args.kv;
  latent.cols = args.latent_dim;
  rope_key.data =
      static_cast<std::byte*>(args.kv.data) + args.latent_dim * static_cast<int64_t>(SizeOf(args.kv.type));
  rope_key.cols = rope_dim;
  RopeArgs rope = {.x = args.q,
                   .heads = args.heads,
                   .head_stride = args.q_head_stride,
                   .offset = args.q_rope_offset,
                   .rope_dim = rope_dim,
                   .positions = args.positions,
                   .cos = args.cos,
                   .sin = args.sin};
  kernels.rope(rope, execution);
  kernels.rms_norm({.x = latent, .weight = args.norm_weight, .eps = args.eps, .out = latent}, execution);
  rope.x = rope_key;
  rope.heads = 1;
  rope.head_stride = rope_dim;
  rope.offset = 0;
  kernels.rope(rope, execution);
  kernels.kv_write({.latent = latent,
                    .rope_key = rope_key,
                    .slots = args.slots,
                    .cache = args.cache,
                    .cache_type = args.cache_type},
                   execution);
}

}  // namespace deeprack::kernels
