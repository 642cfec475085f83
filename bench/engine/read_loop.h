// The bandwidth of a plain read loop: what a decoder that reads weights could reach at best on these threads.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "kernels/api/thread_pool.h"
#include "worker/device/memory.h"

namespace deeprack::bench {

class ReadLoop {
 public:
  // Memory many times as large as the caches, written once, in huge pages where weights are.
  // ResourceExhausted.
  static absl::StatusOr<ReadLoop> Create(kernels::ThreadPool* pool);

  // Sums the next part of the memory on all threads; bytes per second. Takes some tens of milliseconds.
  double BytesPerSecond();

 private:
  ReadLoop(worker::Memory memory, kernels::ThreadPool* pool) : memory_(std::move(memory)), pool_(pool) {}

  worker::Memory memory_;
  kernels::ThreadPool* pool_;
  int64_t offset_ = 0;
  uint64_t sum_ = 0;  // of all that was read, so that reading cannot be left out
};

}  // namespace deeprack::bench
