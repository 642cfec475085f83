// The choice of experts, the grouping of rows by expert, the exchange of rows between ranks, and the
// combination of the experts' outputs.
#include "base/check.h"
#include "kernels/cuda/hopper/operations.h"
#include "kernels/cuda/plain/operations.h"
#include "kernels/cuda/sm90/dispatch.h"
#include "kernels/cuda/sm90/route.h"

namespace deeprack::kernels::hopper {

void Gate(const GateArgs& args, const Execution& execution) {
  if (sm90::WhyNotGate(args.experts, args.n_group, args.top_k) != nullptr)
    return plain::Gate(args, execution);
  sm90::Gate(args, execution);
}

void GroupByExpert(const GroupByExpertArgs& args, const Execution& execution) {
  if (sm90::WhyNotGroupByExpert(args) != nullptr) return plain::GroupByExpert(args, execution);
  sm90::GroupByExpert(args, execution);
}

void Combine(const CombineArgs& args, const Execution& execution) {
  if (sm90::WhyNotCombine(args) != nullptr) return plain::Combine(args, execution);
  sm90::Combine(args, execution);
}

void PlanDispatch(const PlanDispatchArgs& args, const Execution& execution) {
  if (sm90::WhyNotPlanDispatch(args) != nullptr) return plain::PlanDispatch(args, execution);
  sm90::PlanDispatch(args, execution);
}

void PackDispatch(const PackDispatchArgs& args, const Execution& execution) {
  if (sm90::WhyNotPackDispatch(args) == nullptr) return sm90::PackDispatch(args, execution);
  DR_CHECK(args.rounded.memory == nullptr);
  plain::PackDispatch(args, execution);
}

}  // namespace deeprack::kernels::hopper
