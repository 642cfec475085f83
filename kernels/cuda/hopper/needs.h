// The needs of the Hopper kernels (KernelNeeds). Pure functions, without a card.
#pragma once

#include <cstdint>

#include "kernels/api/kernel_needs.h"

namespace deeprack::kernels::hopper {

// The functions of KernelNeeds.
bool ReadsRounded(const PackedWeight& weight);
bool DispatchesRounded(const PackedWeight& weight, int64_t experts);
int64_t MlaPlanBytes(const MlaShape& shape);
int64_t ExpandedPlanBytes(const ExpandedShape& shape, int64_t sequences, int64_t max_context);
ScratchBytes ScratchOf(const StepBounds& bounds);

// The scratch of one kind of operation, which ScratchOf combines.
ScratchBytes ScratchOfProduct(const ProductBound& product);
ScratchBytes ScratchOfExpanded(const ExpandedShape& shape);
int64_t ScratchOfAttention(const MlaShape& most, int multiprocessors);

}  // namespace deeprack::kernels::hopper
