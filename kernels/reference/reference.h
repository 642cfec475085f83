// The reference: every operation of kernels/api in double precision, one element at a time, written as the
// operation's header states it. Backends are tested against these functions, which are simple and slow.
#pragma once

#include <vector>

#include "kernels/api/attention.h"
#include "kernels/api/elementwise.h"
#include "kernels/api/expanded_attention.h"
#include "kernels/api/linear.h"
#include "kernels/api/moe.h"
#include "kernels/api/norm.h"
#include "kernels/api/sampling.h"

namespace deeprack::kernels::reference {

// Reads and writes an element of activations. Set rounds once to the matrix's type.
double Get(const Matrix& matrix, int64_t row, int64_t col);
void Set(const Matrix& matrix, int64_t row, int64_t col, double value);
// Element (n, k) of a packed weight, scale included.
double Get(const PackedWeight& weight, int64_t n, int64_t k);

void Embedding(const EmbeddingArgs& args);
void RmsNorm(const RmsNormArgs& args);
void AddRmsNorm(const AddRmsNormArgs& args);
void Add(const AddArgs& args);
void Linear(const LinearArgs& args);
void HeadLinear(const HeadLinearArgs& args);
void GroupedLinear(const GroupedLinearArgs& args);
void SwiGlu(const SwiGluArgs& args);
void Rope(const RopeArgs& args);
void KvWrite(const KvWriteArgs& args);
// kBf16: softmax weights of backends that multiply pairs of bf16: each page's weights are relative to the
// largest score so far and rounded to bf16.
enum class SoftmaxWeights { kExact, kBf16 };
void MlaAttention(const MlaAttentionArgs& args, SoftmaxWeights weights = SoftmaxWeights::kExact);
// Keys and values rounded to the type of q.
void ExpandedAttention(const ExpandedAttentionArgs& args, SoftmaxWeights weights = SoftmaxWeights::kExact);
void GqaAttention(const GqaAttentionArgs& args, SoftmaxWeights weights = SoftmaxWeights::kExact);
void Gate(const GateArgs& args);
void GroupByExpert(const GroupByExpertArgs& args);
void Combine(const CombineArgs& args);
void PlanDispatch(const PlanDispatchArgs& args);
void FindNonFinite(const FindNonFiniteArgs& args);
void AdjustLogits(const AdjustLogitsArgs& args);
void MaskLogits(const MaskLogitsArgs& args);
void Logprobs(const LogprobsArgs& args);

// The probabilities [vocab] of a draw from the logits; zero for tokens that top_k, top_p or min_p removes.
std::vector<double> SampleDistribution(const float* logits, int64_t vocab, const Draw& draw);

}  // namespace deeprack::kernels::reference
