// RMSNorm: rows of a width and type that the Hopper kernel holds in registers, plain otherwise.
#include "kernels/cuda/hopper/operations.h"
#include "kernels/cuda/plain/operations.h"
#include "kernels/cuda/sm90/quantise.h"

namespace deeprack::kernels::hopper {
namespace {

bool InFours(const Matrix& matrix) { return matrix.cols % 4 == 0 && matrix.stride % 4 == 0; }

// Of rows `x` (for AddRmsNorm what is added, and the residual) into `out`.
bool Suits(const Matrix& x, const Matrix& out) {
  return InFours(x) && InFours(out) && out.type == DType::kBF16 && out.cols <= sm90::kMaxNormWidth;
}

}  // namespace

void RmsNorm(const RmsNormArgs& args, const Execution& execution) {
  if (!Suits(args.x, args.out)) return plain::RmsNorm(args, execution);
  // Without anything to add the residual is only read.
  sm90::NormQuantise({.residual = args.x, .weight = args.weight, .eps = args.eps, .normed = args.out},
                     execution);
}

void AddRmsNorm(const AddRmsNormArgs& args, const Execution& execution) {
  if (!Suits(args.x, args.out) || !InFours(args.residual)) return plain::AddRmsNorm(args, execution);
  sm90::NormQuantise(
      {.x = args.x, .residual = args.residual, .weight = args.weight, .eps = args.eps, .normed = args.out},
      execution);
}

}  // namespace deeprack::kernels::hopper
