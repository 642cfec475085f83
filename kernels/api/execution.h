// Where an operation runs: threads, stream and scratch memory.
#pragma once

#include <cstdint>
#include <functional>

namespace deeprack::kernels {

// The compute threads of one rank. Results never depend on which thread runs a part of the work.
class ThreadPool {
 public:
  virtual ~ThreadPool() = default;
  virtual int threads() const = 0;
  // Calls body(i) once for each i in [0, tasks) and returns when all calls have returned. Not reentrant. One
  // thread at a time may call this.
  virtual void ParallelFor(int64_t tasks, const std::function<void(int64_t)>& body) = 0;
};

// Memory that operations need besides their arguments, allocated before the first step (KernelNeeds::
// scratch_bytes). Operations of one stream share it: its contents are undefined between operations.
struct Scratch {
  void* counters = nullptr;  // zero before the first operation and after each operation
  int64_t counter_bytes = 0;
  void* data = nullptr;  // 128-byte aligned
  int64_t data_bytes = 0;
};

// Passed to every operation. CPU: operations are synchronous and use `pool`. CUDA: operations are enqueued on
// `stream`. With `overlap`, a kernel may begin before the kernel before it on the stream has ended, and
// itself waits for that kernel (programmatic dependent launch).
struct Execution {
  ThreadPool* pool = nullptr;
  void* stream = nullptr;
  bool overlap = false;
  int multiprocessors = 0;  // of a card; 0: those of an H100
  Scratch scratch;
};

}  // namespace deeprack::kernels
