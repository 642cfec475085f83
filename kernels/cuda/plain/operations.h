// The plain CUDA backend: every operation of kernels/api that the decoder's layers use (not yet those on logits), for any card from sm_80 up, in
// simple code. It is complete and trusted first; Hopper kernels replace single operations once they have passed against it.
// All pointers are device memory; launches go to execution.stream and return at once. The same source also
// builds for the host (plain/device.h), where the common test suite runs it.
#pragma once

#include "kernels/api/kernel_set.h"

namespace deeprack::kernels::plain {

// All of them as a table; the operations on logits are null.
const KernelSet& Kernels();

void Embedding(const EmbeddingArgs& args, const Execution& execution);
void RmsNorm(const RmsNormArgs& args, const Execution& execution);
void AddRmsNorm(const AddRmsNormArgs& args, const Execution& execution);
void Add(const AddArgs& args, const Execution& execution);
void SwiGlu(const SwiGluArgs& args, const Execution& execution);
void Linear(const LinearArgs& args, const Execution& execution);
// The next two read args.weights on the host (shape and type of the first) and on the device: pinned or managed memory.
void HeadLinear(const HeadLinearArgs& args, const Execution& execution);
void GroupedLinear(const GroupedLinearArgs& args, const Execution& execution);
void Rope(const RopeArgs& args, const Execution& execution);
void KvWrite(const KvWriteArgs& args, const Execution& execution);
void MlaAttention(const MlaAttentionArgs& args, const Execution& execution);
void Gate(const GateArgs& args, const Execution& execution);
void GroupByExpert(const GroupByExpertArgs& args, const Execution& execution);
void Combine(const CombineArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::plain
