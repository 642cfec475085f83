// The CPU backend's threads.
#pragma once

#include <memory>

#include "kernels/api/execution.h"

namespace deeprack::kernels {

// A pool of `threads` (>= 1) computing threads, the caller of ParallelFor being one of them: threads - 1 are
// started. A pool of one runs everything inline. Idle threads spin for a few microseconds, as the next
// operation of a forward pass follows at once, and then sleep.
std::unique_ptr<ThreadPool> MakeThreadPool(int threads);

}  // namespace deeprack::kernels
