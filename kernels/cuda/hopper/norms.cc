// RMSNorm: the Hopper kernel for widths and types that it holds in registers, the plain kernel otherwise.
#include "kernels/cuda/hopper/operations.h"
#include "kernels/cuda/hopper/rounded_rows.h"
#include "kernels/cuda/plain/operations.h"
#include "kernels/cuda/sm90/peers.h"
#include "kernels/cuda/sm90/quantise.h"

namespace deeprack::kernels::hopper {
namespace {

bool InFours(const Matrix& matrix) { return matrix.cols % 4 == 0 && matrix.stride % 4 == 0; }

// True when the Hopper kernel serves rows `x` and output `out`.
bool Suits(const Matrix& x, const Matrix& out) {
  return InFours(x) && InFours(out) && out.type == DType::kBF16 && out.cols <= sm90::kMaxNormWidth;
}

// Rounds the output of the plain norm.
void Round(const Matrix& rows, std::byte* rounded, const Execution& execution) {
  if (rounded == nullptr) return;
  sm90::Quantise({.x = rows, .rows = rows.rows, .out = AsQuantised(rounded, rows.rows, rows.cols)},
                 execution);
}

// The norm of `args` over residual + x, or over the residual alone if x has no data.
template <class Args>
sm90::NormQuantiseArgs NormOf(const Args& args, const Matrix& x, const Matrix& residual) {
  return {.x = x,
          .residual = residual,
          .weight = args.weight,
          .eps = args.eps,
          .normed = args.out,
          .out = AsQuantised(args.rounded, args.out.rows, args.out.cols)};
}

}  // namespace

void RmsNorm(const RmsNormArgs& args, const Execution& execution) {
  if (!Suits(args.x, args.out)) {
    plain::RmsNorm(args, execution);
    return Round(args.out, args.rounded, execution);
  }
  sm90::NormQuantise(NormOf(args, {}, args.x), execution);  // a residual without x is only read
}

void AddRmsNorm(const AddRmsNormArgs& args, const Execution& execution) {
  if (!Suits(args.x, args.out) || !InFours(args.residual)) {
    plain::AddRmsNorm(args, execution);
    return Round(args.out, args.rounded, execution);
  }
  sm90::NormQuantise(NormOf(args, args.x, args.residual), execution);
}

void PeerAddRmsNorm(const PeerAddRmsNormArgs& args, const Execution& execution) {
  const AddRmsNormArgs& norm = args.norm;
  if (norm.x.type != DType::kF32 || !Suits(norm.x, norm.out) || !InFours(norm.residual)) {
    sm90::PeerSum({.x = norm.x, .peers = args.peers}, execution);
    return AddRmsNorm(norm, execution);
  }
  sm90::PeerSumNorm({.peers = args.peers,
                     .x = norm.x,
                     .residual = norm.residual,
                     .weight = norm.weight,
                     .eps = norm.eps,
                     .normed = norm.out,
                     .out = AsQuantised(norm.rounded, norm.out.rows, norm.out.cols)},
                    execution);
}

}  // namespace deeprack::kernels::hopper
