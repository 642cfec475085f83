// The CPU backend's threads.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "kernels/api/execution.h"

namespace deeprack::kernels {

struct ThreadPoolOptions {
  // Computing threads, >= 1, the caller of ParallelFor being one of them: threads - 1 are started. A pool of
  // one runs everything inline.
  int threads = 1;
  // Empty, or a processor for each thread: the started ones are bound to theirs, the first is left free for
  // the caller, which is not bound.
  std::vector<int> processors;
  // How long an idle thread spins before it sleeps: the next operation of a forward pass follows within
  // microseconds. Threads with processors of their own may spin longer than those that share.
  std::chrono::microseconds spin{20};
};

std::unique_ptr<ThreadPool> MakeThreadPool(const ThreadPoolOptions& options);
inline std::unique_ptr<ThreadPool> MakeThreadPool(int threads) {
  return MakeThreadPool(ThreadPoolOptions{.threads = threads});
}

// The processors that this process may run on, ascending.
std::vector<int> AllowedProcessors();

}  // namespace deeprack::kernels
