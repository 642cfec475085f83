// What latent attention's plans take (KernelNeeds::mla_plan_bytes, expanded_plan_bytes), and the shapes that
// they and the kernels' scratch are sized by.
#pragma once

#include <cstdint>

#include "kernels/api/kernel_needs.h"
#include "sizing/rank_spec.h"

namespace deeprack::sizing {

class AttentionSizes {
 public:
  AttentionSizes() = default;  // nothing is expanded or planned
  // Nothing is planned either where the kernels or the model have no such plans.
  AttentionSizes(const kernels::KernelNeeds& kernels, const RankSpec& spec);

  // The largest step's; heads 0: nothing is expanded.
  const kernels::ExpandedShape& expanded() const { return expanded_; }

  // Of a batch of so many rows in so many sequences, of which none has more than most_rows. heads 0: nothing
  // is planned.
  kernels::MlaShape ShapeOf(int64_t rows, int64_t sequences, int64_t most_rows) const;
  int64_t BytesOf(const kernels::MlaShape& shape) const;
  // Of the plan for the expanded rows of so many sequences.
  int64_t ExpandedBytes(int64_t sequences) const;
  // The most for any batch within the limits.
  int64_t MostBytes(const model::StepLimits& limits) const;

 private:
  kernels::MlaShape model_;  // what does not change from step to step
  kernels::ExpandedShape expanded_;
  int64_t max_context_ = 0;
  int64_t (*bytes_)(const kernels::MlaShape&) = nullptr;
  int64_t (*expanded_bytes_)(const kernels::ExpandedShape&, int64_t, int64_t) = nullptr;
};

}  // namespace deeprack::sizing
