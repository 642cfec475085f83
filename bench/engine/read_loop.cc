#include "bench/engine/read_loop.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/status_macros.h"
#include "worker/device/host_memory.h"

namespace deeprack::bench {
namespace {

constexpr int64_t kBytes = int64_t{1} << 30;
constexpr int64_t kPart = int64_t{512} << 20;  // of one measurement
constexpr int64_t kPiece = int64_t{1} << 20;   // of one task

uint64_t SumOf(const std::byte* from, int64_t bytes) {
  using Vector = uint64_t __attribute__((vector_size(64)));
  Vector sums[4] = {};
  for (int64_t i = 0; i < bytes; i += 4 * static_cast<int64_t>(sizeof(Vector))) {
    for (int j = 0; j < 4; ++j) {
      Vector value;
      std::memcpy(&value, from + i + j * static_cast<int64_t>(sizeof(Vector)), sizeof(value));
      sums[j] += value;
    }
  }
  uint64_t sum = 0;
  for (const Vector& lanes : sums) {
    for (int lane = 0; lane < 8; ++lane) sum += lanes[lane];
  }
  return sum;
}

}  // namespace

absl::StatusOr<ReadLoop> ReadLoop::Create(kernels::ThreadPool* pool) {
  DR_ASSIGN_OR_RETURN(worker::Memory memory, worker::MapHostMemory("the read loop", kBytes));
  pool->ParallelFor(kBytes / kPiece, [&](int64_t i) { std::memset(memory.data() + i * kPiece, 1, kPiece); });
  return ReadLoop(std::move(memory), pool);
}

double ReadLoop::BytesPerSecond() {
  std::atomic<uint64_t> sum = 0;
  const std::byte* part = memory_.data() + std::exchange(offset_, kBytes - kPart - offset_);
  const auto start = std::chrono::steady_clock::now();
  pool_->ParallelFor(kPart / kPiece, [&](int64_t i) { sum += SumOf(part + i * kPiece, kPiece); });
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  sum_ += sum;
  return static_cast<double>(kPart) / time.count();
}

}  // namespace deeprack::bench
