// Which kernels a card runs: a pure function of the card and of what has been proven.
//
// Kernels for one family of cards replace plain ones operation by operation. One that has not passed `make
// gpu-check` on a real card is never used: the plain one is, and the log says so.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deeprack::kernels {

struct CardProperties {
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  int multiprocessors = 0;
};

// A kernel for cards of exactly one compute capability.
struct SpecialKernel {
  std::string_view name;       // "sm90 fp8 product"
  std::string_view operation;  // what it replaces
  int major = 0;
  int minor = 0;
};

// All that this source has, and the names of those that have passed gpu-check on a card: docs/PERFORMANCE.md
// says which card and when. A name is added here in the change that records that run.
std::span<const SpecialKernel> SpecialKernels();
std::span<const std::string_view> VerifiedKernels();

struct KernelChoice {
  std::vector<SpecialKernel> used;        // at most one for an operation; all other operations are plain
  std::vector<SpecialKernel> unverified;  // would suit the card

  std::string Describe() const;  // for the log
};
KernelChoice ChooseKernels(const CardProperties& card, std::span<const SpecialKernel> kernels,
                           std::span<const std::string_view> verified);

// Why no kernels here run on a card; empty when some do.
std::string WhyNotServed(const CardProperties& card);

}  // namespace deeprack::kernels
