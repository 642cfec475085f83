#include "bench/engine/read_loop.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

#if defined(__x86_64__)
// Reads with the widest registers; narrower registers read a tenth less.
__attribute__((target("avx512f"))) uint64_t SumOfAvx512(const std::byte* from, int64_t bytes) {
  __m512i sums[4] = {};
  for (int64_t i = 0; i < bytes; i += 256) {
    for (int j = 0; j < 4; ++j) sums[j] = _mm512_add_epi64(sums[j], _mm512_loadu_si512(from + i + j * 64));
  }
  uint64_t sum = 0;
  for (const __m512i& register_sum : sums) {
    uint64_t lanes[8];
    _mm512_storeu_si512(lanes, register_sum);
    for (const uint64_t lane : lanes) sum += lane;
  }
  return sum;
}
#endif

using Sum = uint64_t (*)(const std::byte*, int64_t);
Sum WidestSum() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return SumOfAvx512;
#endif
  return SumOf;
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
  const Sum sum_of = WidestSum();
  const auto start = std::chrono::steady_clock::now();
  pool_->ParallelFor(kPart / kPiece, [&](int64_t i) { sum += sum_of(part + i * kPiece, kPiece); });
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  sum_ += sum;
  return static_cast<double>(kPart) / time.count();
}

}  // namespace deeprack::bench
