// Operations of ranks in each other's memory (kernels/api/peers.h), and the sum over ranks fused with the
// addition to the residual, the norm and the quantisation.
#pragma once

#include "kernels/api/peers.h"
#include "kernels/cuda/sm90/quantise.h"

namespace deeprack::kernels::sm90 {

void PeerSum(const PeerSumArgs& args, const Execution& execution);
void PeerExchange(const PeerExchangeArgs& args, const Execution& execution);

// NormQuantise (quantise.h) of the sum over ranks of x.
struct PeerSumNormArgs {
  PeerMemory peers;
  Matrix x;         // [m, cols] kBF16 or kF32: this rank's addend; not changed
  Matrix residual;  // [m, cols] kBF16 or kF32, updated
  const float* weight = nullptr;
  float eps = 1e-6f;
  Matrix normed;      // kBF16, or no data
  QuantisedRows out;  // or no data: normed alone
};
void PeerSumNorm(const PeerSumNormArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
