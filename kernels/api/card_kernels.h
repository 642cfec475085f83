// The kernels of a card: which kernels suit the card, what they need, and the KernelSet made of them.
//
// Plain kernels run every operation on any card of compute capability 8.0 or later. Special kernels are for
// cards of exactly one compute capability, and each replaces one plain operation. A special kernel is
// verified once it has passed `make gpu-check` on a real card. Unverified kernels are used only where a
// developer asks for them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/api/kernel_set.h"

namespace deeprack::kernels {

struct CardProperties {
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  int multiprocessors = 0;
};

// An H100 or H200 SXM, for planning on machines without a card.
CardProperties HopperCard();

// Why this program has no kernels for the card; empty when it has some.
std::string WhyNotServed(const CardProperties& card);

// A kernel for cards of exactly one compute capability.
struct SpecialKernel {
  std::string_view name;       // "sm90 fp8 product"
  std::string_view operation;  // what it replaces: one of kernels/cuda/choice/operation_names.h
  int major = 0;
  int minor = 0;
};

// All special kernels that the engine can run.
std::span<const SpecialKernel> SpecialKernels();

// The names of the verified kernels. A name is added in the change that records the run of `make gpu-check`
// in docs/PERFORMANCE.md.
std::span<const std::string_view> VerifiedKernels();

struct KernelChoice {
  std::vector<SpecialKernel> used;        // at most one for an operation; all other operations are plain
  std::vector<SpecialKernel> unverified;  // would suit the card, and are not used

  std::string Describe() const;  // for the log
};

// The special kernels that a card uses: of `kernels`, the verified ones of the card's compute capability, and
// the first of them where several replace one operation.
KernelChoice ChooseKernels(const CardProperties& card, std::span<const SpecialKernel> kernels,
                           std::span<const std::string_view> verified);

// The choice as if all of `kernels` were verified. For developers: results may be wrong.
KernelChoice ChooseUnverifiedToo(const CardProperties& card, std::span<const SpecialKernel> kernels);

// The choice that a worker makes for its card: of SpecialKernels() the verified ones or, with
// `unverified_too`, all.
KernelChoice ChooseKernels(const CardProperties& card, bool unverified_too);

// What the kernels of a choice need. Works without a card.
KernelNeeds CardNeeds(const KernelChoice& choice);

// The kernels of a choice; with an empty choice all operations are plain. The set's name is "cuda-plain" or,
// with any special kernel, "cuda-sm90". Two libraries define this function: kernels_hopper for cards, and
// kernels_hopper_emulated, which runs the same source on the host's emulation of a card.
KernelSet CardKernels(const KernelChoice& choice = {});

}  // namespace deeprack::kernels
