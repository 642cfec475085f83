// sm_90a's copy engine, mbarriers and matrix products, run on the host for the tests of kernels/cuda/sm90.
// Each function has the contract that its namesake in kernels/cuda/sm90/hopper.h and wgmma.h states. Shared
// memory is one buffer, and an address is an offset in it.
//
// On the card, copies and products run asynchronously. Here they run at the earliest or at the latest moment
// that the card's rules allow, as SetTiming says. A kernel that reuses a buffer too early fails with one
// timing, a kernel that reads too early with the other. A block starts with shared memory full of NaN. Failed
// checks: arrivals beyond a phase's count, a copy to a misaligned or foreign address, barriers or copies or
// products left behind, waits that nothing will end. Not emulated: proxy fences, register limits, the
// rounding of the card's fp8 sums (here: fp32, k ascending).
#pragma once

#include <atomic>
#include <bit>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/e4m3.h"
#include "kernels/api/execution.h"
#include "kernels/cuda/emulator/block.h"
#include "kernels/cuda/plain/device.h"
#include "kernels/cuda/sm90/isa/layout.h"
#include "kernels/cuda/sm90/isa/tensor_map.h"

#define __grid_constant__
#define __launch_bounds__(...)

namespace deeprack::kernels::host {

// When copies and products happen: as they are issued, or when nothing else can run, and when they are waited
// for.
struct Timing {
  bool late_copies = false;
  bool late_products = false;
};
void SetTiming(Timing timing);

uint8_t* SharedMemory();
// Fails when p is not in shared memory.
uint32_t SharedOffset(const void* p);
// A grid of blocks with so much shared memory.
void RunWithShared(uint32_t bytes, Dim grid, int threads, const std::function<void()>& body);

// One thread's share of a product: its N / 2 accumulators.
struct Product {
  float* d;
  int n;
  bool bf16;  // else e4m3
  bool a_in_registers, a_mn_major, b_mn_major, accumulate;
  uint64_t a, b;
  float a_rows[2][32];  // a in registers: the thread's two rows
};
void Issue(const Product& product);
void Commit();
void WaitForProducts(int pending);
// Rows g and g + 8 of a fragment that a warp holds: [16, 16] of bf16, or [16, 32] of e4m3.
void GatherFragment(const uint32_t (&a)[4], bool bf16_type, float (&rows)[2][32]);

void BarrierInit(uint64_t& word, uint32_t arrivals);
void BarrierArrive(uint64_t& word, uint32_t bytes);
void BarrierWait(uint64_t& word, uint32_t parity);
void StartCopyBox(void* to, const sm90::TensorMap& map, int c0, int c1, int c2, uint64_t& barrier);
void StartCopyBytes(void* to, const void* from, uint32_t bytes, uint64_t& barrier);
void NamedBarrier(int id, int threads);

}  // namespace deeprack::kernels::host

namespace deeprack::kernels::sm90 {

using plain::__shfl_xor_sync;
using plain::__syncthreads;
using plain::__syncwarp;
using plain::dim3;

struct Barrier {
  uint64_t word;
};

inline constexpr uint64_t kEvictFirst = 1, kEvictNormal = 2, kEvictLast = 3;

inline uint32_t SharedAddress(const void* p) { return host::SharedOffset(p); }
inline uint8_t* DynamicShared() { return host::SharedMemory(); }
inline void InitBarrier(Barrier& barrier, uint32_t arrivals) { host::BarrierInit(barrier.word, arrivals); }
inline void FenceBarrierInit() {}
inline void Arrive(Barrier& barrier) { host::BarrierArrive(barrier.word, 0); }
inline void ArriveExpectBytes(Barrier& barrier, uint32_t bytes) { host::BarrierArrive(barrier.word, bytes); }
inline void Wait(Barrier& barrier, uint32_t parity) { host::BarrierWait(barrier.word, parity); }
inline void CopyBox(void* to, const TensorMap& map, int c0, int c1, int c2, Barrier& barrier, uint64_t) {
  host::StartCopyBox(to, map, c0, c1, c2, barrier.word);
}
inline void CopyBytes(void* to, const void* from, uint32_t bytes, Barrier& barrier, uint64_t) {
  host::StartCopyBytes(to, from, bytes, barrier.word);
}
inline void PrefetchMap(const TensorMap&) {}
inline void FenceForAsync() {}
inline void SyncNamed(int id, int threads) { host::NamedBarrier(id, threads); }
template <int kRegisters>
void RaiseRegisters() {}
template <int kRegisters>
void LowerRegisters() {}

inline void WaitForPrevious() {}
inline void LetNextBegin() {}
inline void ThreadFence() {}
inline int AtomicAdd(int* at, int value) { return (*at += value) - value; }
template <class T>
T LoadThroughL2(const T* p) {
  return *p;
}
template <class T>
T LoadConstant(const T* p) {
  return *p;
}
template <class T>
T Shuffle(T value, int lane) {
  return host::ExchangeAs(value, lane);
}
inline uint32_t Ballot(bool here) {
  uint32_t bits = here ? 1u << host::Current().thread.x % kWarp : 0u;
  for (int mask = kWarp / 2; mask > 0; mask /= 2) bits |= __shfl_xor_sync(0xffffffffu, bits, mask);
  return bits;
}
inline int CountBits(uint32_t bits) { return std::popcount(bits); }
inline bool AnyInWarp(bool here) { return Ballot(here) != 0; }
inline float Exp2(float x) { return std::exp2(x); }
inline uint32_t PickBytes(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t both = uint64_t{b} << 32 | a;
  uint32_t picked = 0;
  for (int i = 0; i < 4; ++i)
    picked |= static_cast<uint32_t>(both >> (selector >> (4 * i) & 7) * 8 & 0xff) << (8 * i);
  return picked;
}
// Peers are other threads of the process. A wait for a peer calls Nanoseconds, which lets the peer run.
inline void StoreForPeers(uint32_t* at, uint32_t value) {
  std::atomic_ref<uint32_t>(*at).store(value, std::memory_order_release);
}
inline uint32_t LoadFromPeers(const uint32_t* at) {
  return std::atomic_ref<uint32_t>(*const_cast<uint32_t*>(at)).load(std::memory_order_acquire);
}
inline uint64_t Nanoseconds() {
  std::this_thread::yield();
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() /
                               std::chrono::nanoseconds(1));
}
inline uint32_t SubtractBF16x2(uint32_t a, uint32_t b) {
  uint32_t d = 0;
  for (int shift = 0; shift < 32; shift += 16) {
    const auto half = [&](uint32_t word) { return ToFloat(bf16{static_cast<uint16_t>(word >> shift)}); };
    d |= uint32_t{ToBF16(half(a) - half(b)).bits} << shift;
  }
  return d;
}

inline uint32_t TwoBF16(float low, float high) {
  return uint32_t{ToBF16(low).bits} | uint32_t{ToBF16(high).bits} << 16;
}

inline uint32_t FourE4M3(float a, float b, float c, float d) {
  return uint32_t{ToE4M3(a).bits} | uint32_t{ToE4M3(b).bits} << 8 | uint32_t{ToE4M3(c).bits} << 16 |
         uint32_t{ToE4M3(d).bits} << 24;
}

inline Floats4 FromFourE4M3(uint32_t four) {
  const auto value = [&](int i) { return ToFloat(fp8_e4m3{static_cast<uint8_t>(four >> (8 * i))}); };
  return {value(0), value(1), value(2), value(3)};
}

inline void FenceProducts() {}
inline void CommitProducts() { host::Commit(); }
template <int kPending>
void WaitProducts() {
  host::WaitForProducts(kPending);
}
template <int kCount>
void KeepInPlace(float (&)[kCount]) {}

template <int N>
void ProductE4M3(float (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate) {
  host::Issue({d, N, false, false, false, false, accumulate, a, b, {}});
}
template <int N, bool kAMnMajor, bool kBMnMajor>
void ProductBF16(float (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate) {
  host::Issue({d, N, true, false, kAMnMajor, kBMnMajor, accumulate, a, b, {}});
}
template <int N, bool kBMnMajor = false>
void ProductBF16Registers(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b, bool accumulate) {
  host::Product product{d, N, true, true, false, kBMnMajor, accumulate, 0, b, {}};
  host::GatherFragment(a, true, product.a_rows);
  host::Issue(product);
}
template <int N>
void ProductE4M3Registers(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b, bool accumulate) {
  host::Product product{d, N, false, true, false, false, accumulate, 0, b, {}};
  host::GatherFragment(a, false, product.a_rows);
  host::Issue(product);
}

template <class Args>
void LaunchWithShared(void (*kernel)(Args), dim3 grid, int threads, uint32_t shared_bytes,
                      const Execution& execution, const Args& args) {
  const auto run = [kernel, grid, threads, shared_bytes, args] {
    host::RunWithShared(shared_bytes, grid, threads, [&] { kernel(args); });
  };
  if (execution.stream == nullptr) return run();
  static_cast<host::Stream*>(execution.stream)->Enqueue(run);
}

}  // namespace deeprack::kernels::sm90
