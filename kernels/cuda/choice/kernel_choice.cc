#include <algorithm>

#include "kernels/api/card_kernels.h"
#include "kernels/cuda/choice/operation_names.h"
#include "kernels/cuda/sm90/gemm_schedule.h"

namespace deeprack::kernels {
namespace {

constexpr int kOldestMajor = 8;  // the first major version with bf16 in hardware

constexpr SpecialKernel kSpecial[] = {
    {"sm90 fp8 product", kOperationFp8Product, 9, 0},
    {"sm90 bf16 product", kOperationBf16Product, 9, 0},
    {kInt4ByE4M3, kOperationInt4Product, 9, 0},
    {kInt4ByBF16, kOperationInt4Product, 9, 0},
    {"sm90 latent attention", kOperationMla, 9, 0},
    {"sm90 latent attention over fp8", kOperationMlaFp8, 9, 0},
    {"sm90 preparation of latent attention", kOperationMlaPrepare, 9, 0},
    {"sm90 expanded latent attention", kOperationExpandedAttention, 9, 0},
    {"sm90 gate", kOperationGate, 9, 0},
    {"sm90 grouping of rows", kOperationGroupByExpert, 9, 0},
    {"sm90 combining", kOperationCombine, 9, 0},
    {"sm90 dispatch", kOperationDispatch, 9, 0},
    {"sm90 SwiGLU with quantisation", kOperationFeedForward, 9, 0},
    {"sm90 norm", kOperationNorm, 9, 0},
    {"sm90 sum over peers", kOperationPeerSum, 9, 0},
    {"sm90 exchange with peers", kOperationPeerExchange, 9, 0},
};

std::string Names(const std::vector<SpecialKernel>& kernels) {
  std::string names;
  for (const SpecialKernel& kernel : kernels) names.append(names.empty() ? "" : ", ").append(kernel.name);
  return names;
}

}  // namespace

CardProperties HopperCard() {
  return {
      .name = "H100 or H200 SXM", .major = 9, .minor = 0, .multiprocessors = sm90::kStreamingMultiprocessors};
}

std::span<const SpecialKernel> SpecialKernels() { return kSpecial; }

std::span<const std::string_view> VerifiedKernels() { return {}; }

KernelChoice ChooseKernels(const CardProperties& card, std::span<const SpecialKernel> kernels,
                           std::span<const std::string_view> verified) {
  KernelChoice choice;
  for (const SpecialKernel& kernel : kernels) {
    if (kernel.major != card.major || kernel.minor != card.minor) continue;
    const bool proven = std::find(verified.begin(), verified.end(), kernel.name) != verified.end();
    const bool taken = std::any_of(choice.used.begin(), choice.used.end(), [&](const SpecialKernel& other) {
      return other.operation == kernel.operation;
    });
    if (!proven) {
      choice.unverified.push_back(kernel);
    } else if (!taken) {
      choice.used.push_back(kernel);
    }
  }
  return choice;
}

KernelChoice ChooseUnverifiedToo(const CardProperties& card, std::span<const SpecialKernel> kernels) {
  std::vector<std::string_view> names;
  for (const SpecialKernel& kernel : kernels) names.push_back(kernel.name);
  return ChooseKernels(card, kernels, names);
}

KernelChoice ChooseKernels(const CardProperties& card, bool unverified_too) {
  return unverified_too ? ChooseUnverifiedToo(card, SpecialKernels())
                        : ChooseKernels(card, SpecialKernels(), VerifiedKernels());
}

std::string KernelChoice::Describe() const {
  std::string text =
      used.empty() ? "plain kernels for every operation" : Names(used) + ", and plain kernels for all else";
  if (!unverified.empty()) {
    text += "; not used, as they have not passed `make gpu-check` on a card yet: " + Names(unverified);
  }
  return text;
}

std::string WhyNotServed(const CardProperties& card) {
  if (card.major >= kOldestMajor) return "";
  return card.name + " has compute capability " + std::to_string(card.major) + "." +
         std::to_string(card.minor) + "; " + std::to_string(kOldestMajor) + ".0 is the oldest that is served";
}

}  // namespace deeprack::kernels
