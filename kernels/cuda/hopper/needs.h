// What the table of operations that a card runs needs. Pure functions, without a card.
#pragma once

#include <cstdint>

#include "kernels/api/kernel_needs.h"
#include "kernels/cuda/choice/kernel_choice.h"

namespace deeprack::kernels::hopper {

// Of kernel_set.h's KernelsFor.
KernelNeeds NeedsOf(const KernelChoice& choice);

// What the functions of KernelNeeds are.
bool ReadsRounded(const PackedWeight& weight);
bool DispatchesRounded(const PackedWeight& weight, int64_t experts);
int64_t MlaPlanBytes(const MlaShape& shape);
int64_t ExpandedPlanBytes(const ExpandedShape& shape, int64_t sequences, int64_t max_context);
ScratchBytes ScratchOf(const StepBounds& bounds);

// Their parts of ScratchOf.
ScratchBytes ScratchOfProduct(const ProductBound& product);
ScratchBytes ScratchOfExpanded(const ExpandedShape& shape);
int64_t ScratchOfAttention(const MlaShape& most, int multiprocessors);

}  // namespace deeprack::kernels::hopper
