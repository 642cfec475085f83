// Sizes of latent attention's plans (KernelNeeds::mla_plan_bytes, expanded_plan_bytes), and the shapes that
// decide them and the size of the kernels' scratch memory.
#pragma once

#include <cstdint>

#include "kernels/api/kernel_needs.h"
#include "sizing/rank_spec.h"

namespace deeprack::sizing {

class AttentionSizes {
 public:
  AttentionSizes() = default;  // no expanded attention, no plans: all sizes are 0
  // Sizes of plans are 0 where the kernels or the model have no such plans.
  AttentionSizes(const kernels::KernelNeeds& kernels, const RankSpec& spec);

  // Of the largest step. heads 0: the rank does no expanded attention.
  const kernels::ExpandedShape& expanded() const { return expanded_; }

  // Of a batch of `rows` rows in `sequences` sequences, of at most `most_rows` rows each. heads 0: the
  // kernels have no plan.
  kernels::MlaShape ShapeOf(int64_t rows, int64_t sequences, int64_t most_rows) const;
  int64_t BytesOf(const kernels::MlaShape& shape) const;
  // Of the plan for the expanded rows of `sequences` sequences.
  int64_t ExpandedBytes(int64_t sequences) const;
  // The largest BytesOf any batch within the limits.
  int64_t MostBytes(const model::StepLimits& limits) const;

 private:
  kernels::MlaShape model_;  // the fields that are equal in all steps
  kernels::ExpandedShape expanded_;
  int64_t max_context_ = 0;
  int64_t (*bytes_)(const kernels::MlaShape&) = nullptr;
  int64_t (*expanded_bytes_)(const kernels::ExpandedShape&, int64_t, int64_t) = nullptr;
};

}  // namespace deeprack::sizing
