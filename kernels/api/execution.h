// Where an operation runs.
#pragma once

#include <cstdint>
#include <functional>

namespace deeprack::kernels {

// The compute threads of one rank. Work is cut into `tasks` independent parts; which thread runs a part never
// changes a result.
class ThreadPool {
 public:
  virtual ~ThreadPool() = default;
  virtual int threads() const = 0;
  // Calls body(i) once for each i in [0, tasks) and returns when all are done. Not reentrant; one caller at a
  // time.
  virtual void ParallelFor(int64_t tasks, const std::function<void(int64_t)>& body) = 0;
};

// Memory that operations need besides their arguments, made before the first step (KernelSet::scratch_bytes).
// Nothing in it outlives an operation; operations of one stream share it.
struct Scratch {
  void* counters = nullptr;  // zero before the first operation, and after each
  int64_t counter_bytes = 0;
  void* data = nullptr;  // 128-byte aligned
  int64_t data_bytes = 0;
};

// Handed to every operation. CPU: operations are synchronous and use `pool`. CUDA: they are enqueued on
// `stream`; with `overlap`, kernels that are made for it may begin before the one before them on the stream
// has ended, and wait for it themselves (programmatic dependent launch).
struct Execution {
  ThreadPool* pool = nullptr;
  void* stream = nullptr;
  bool overlap = false;
  int multiprocessors = 0;  // of a card; 0: as many as the kernels were made for
  Scratch scratch;
};

}  // namespace deeprack::kernels
