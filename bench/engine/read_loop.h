// The bandwidth of a plain read loop: the upper bound for a decoder that reads weights on the same threads.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "kernels/api/thread_pool.h"
#include "worker/device/memory.h"

namespace deeprack::bench {

class ReadLoop {
 public:
  // Allocates and writes memory many times as large as the caches, in huge pages as weights are. Errors:
  // ResourceExhausted.
  static absl::StatusOr<ReadLoop> Create(kernels::ThreadPool* pool);

  // Sums the next part of the memory on all threads and returns bytes per second. Takes tens of milliseconds.
  double BytesPerSecond();

 private:
  ReadLoop(worker::Memory memory, kernels::ThreadPool* pool) : memory_(std::move(memory)), pool_(pool) {}

  worker::Memory memory_;
  kernels::ThreadPool* pool_;
  int64_t offset_ = 0;
  uint64_t sum_ = 0;  // sum of all bytes read, so that the compiler keeps the reads
};

}  // namespace deeprack::bench
