// Times one operation on the card, and compares two runs bit for bit.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace deeprack::bench {

struct KernelCase {
  std::string name;
  double bytes = 0;  // bytes that must move to or from device memory
  double flops = 0;
  std::function<void(int64_t iteration)> run;  // enqueues one run; may choose weights by the iteration
  std::function<void()> reset;                 // restores the memory that run changes in place; may be empty
  const void* out = nullptr;                   // on the device, written by run
  int64_t out_bytes = 0;
};

// The limits of the card: the measured copy bandwidth, and the peak of the tensor cores for bf16 from the
// data sheet (0: unknown).
struct CardLimits {
  double bytes_per_second = 0;
  double flops_per_second = 0;
};
CardLimits MeasureCard();

// Prints one line: time, bytes and flops per second, share of the floor. Returns false if two runs differ in
// a bit.
bool TimeKernel(const KernelCase& kernel, const CardLimits& limits);

}  // namespace deeprack::bench
