// Checks what a plan says of a sequence that it opens.
#pragma once

#include <cstdint>
#include <string>

#include "model/step/step_limits.h"
#include "model/step/step_plan.h"

namespace deeprack::worker {

// Empty: the sequence may be computed. Otherwise the first fault: the value found and the values allowed. The
// arguments are equal on all ranks of a dp group, so all ranks find the same fault.
std::string FaultOf(const model::OpenedSequence& sequence, int64_t vocab_size,
                    const model::StepLimits& limits);

}  // namespace deeprack::worker
