// Which kernels a card runs: a pure function of the card and of what has been proven.
//
// Kernels for one family of cards replace plain ones operation by operation. One that has not passed `make
// gpu-check` on a real card is not used unless a developer asks for it: the plain one is, and the log says
// so.
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

// What special kernels replace (kernels/cuda/hopper/kernel_set.h).
inline constexpr std::string_view kOperationFp8Product = "products with fp8 weights";
inline constexpr std::string_view kOperationBf16Product = "products with bf16 weights";
inline constexpr std::string_view kOperationInt4Product = "products with int4 weights";
inline constexpr std::string_view kOperationMla = "mla_attention";
inline constexpr std::string_view kOperationMlaFp8 = "mla_attention over an fp8 cache";
inline constexpr std::string_view kOperationMlaPrepare = "mla_prepare";
inline constexpr std::string_view kOperationExpandedAttention = "expanded_attention";
inline constexpr std::string_view kOperationGate = "gate";
inline constexpr std::string_view kOperationGroupByExpert = "group_by_expert";
inline constexpr std::string_view kOperationCombine = "combine";
inline constexpr std::string_view kOperationDispatch = "plan_dispatch and pack_dispatch";
inline constexpr std::string_view kOperationFeedForward = "feed_forward and grouped_feed_forward";
inline constexpr std::string_view kOperationNorm = "rms_norm and add_rms_norm";
inline constexpr std::string_view kOperationPeerSum = "peer_sum";
inline constexpr std::string_view kOperationPeerExchange = "peer_exchange";

constexpr bool IsProduct(std::string_view operation) {
  return operation == kOperationFp8Product || operation == kOperationBf16Product ||
         operation == kOperationInt4Product;
}

// The kernels that the layout of int4 weights depends on: what the activations are that they multiply by.
inline constexpr std::string_view kInt4ByE4M3 = "sm90 int4 product with e4m3";
inline constexpr std::string_view kInt4ByBF16 = "sm90 int4 product with bf16";

// A kernel for cards of exactly one compute capability.
struct SpecialKernel {
  std::string_view name;       // "sm90 fp8 product"
  std::string_view operation;  // one of those above
  int major = 0;
  int minor = 0;
};

// All that the engine can run, and the names of those that have passed gpu-check on a card:
// docs/PERFORMANCE.md says which card and when. A name is added here in the change that records that run.
std::span<const SpecialKernel> SpecialKernels();
std::span<const std::string_view> VerifiedKernels();

struct KernelChoice {
  std::vector<SpecialKernel> used;        // at most one for an operation; all other operations are plain
  std::vector<SpecialKernel> unverified;  // would suit the card

  std::string Describe() const;  // for the log
};
KernelChoice ChooseKernels(const CardProperties& card, std::span<const SpecialKernel> kernels,
                           std::span<const std::string_view> verified);

// The choice as if all of `kernels` were verified: for developers, whose results may be wrong.
KernelChoice ChooseUnverifiedToo(const CardProperties& card, std::span<const SpecialKernel> kernels);

// Why no kernels here run on a card; empty when some do.
std::string WhyNotServed(const CardProperties& card);

}  // namespace deeprack::kernels
