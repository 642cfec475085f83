// Times one operation on the card, and holds two runs of it against each other.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace deeprack::bench {

struct KernelCase {
  std::string name;
  double bytes = 0;  // that must move to or from device memory
  double flops = 0;
  std::function<void(int64_t iteration)> run;  // enqueues; may rotate its weights by the iteration
  std::function<void()> reset;                 // sets back what run changes in place; may be empty
  const void* out = nullptr;                   // on the device, written by run
  int64_t out_bytes = 0;
};

// What the card can do: measured copy bandwidth, and the matrix units' peak for bf16 from the data sheet (0:
// unknown).
struct CardLimits {
  double bytes_per_second = 0;
  double flops_per_second = 0;
};
CardLimits MeasureCard();

// Prints one line: time, bytes and flops per second, share of the floor. False when two runs differ in a bit.
bool TimeKernel(const KernelCase& kernel, const CardLimits& limits);

}  // namespace deeprack::bench
