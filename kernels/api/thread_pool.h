// The CPU backend's threads.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "kernels/api/execution.h"

namespace deeprack::kernels {

struct ThreadPoolOptions {
  // The number of computing threads, >= 1. The caller of ParallelFor is one of them, so threads - 1 are
  // started. A pool of one thread runs everything inline.
  int threads = 1;
  // Empty, or one processor for each thread. Started threads are bound to processors[1] and later ones. The
  // caller is not bound; processors[0] is left free for the caller.
  std::vector<int> processors;
  // How long an idle thread spins before it sleeps. The next operation of a forward pass follows within
  // microseconds. Threads with their own processors may spin longer than threads that share processors.
  std::chrono::microseconds spin{20};
};

std::unique_ptr<ThreadPool> MakeThreadPool(const ThreadPoolOptions& options);
inline std::unique_ptr<ThreadPool> MakeThreadPool(int threads) {
  return MakeThreadPool(ThreadPoolOptions{.threads = threads});
}

// The processors that this process may run on, ascending.
std::vector<int> AllowedProcessors();

}  // namespace deeprack::kernels
