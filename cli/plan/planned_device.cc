#include "cli/plan/planned_device.h"

#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/cpu/needs.h"
#include "kernels/cuda/choice/kernel_choice.h"
#include "kernels/cuda/hopper/needs.h"
#include "kernels/cuda/sm90/gemm_schedule.h"

namespace deeprack::cli {

PlannedDevice PlannedDeviceOf(const std::string& backend, bool unverified_kernels) {
  if (backend != "cuda") return {.name = "the CPU", .kernels = kernels::kCpuNeeds};
  const kernels::CardProperties card = {.name = "H100 or H200 SXM",
                                        .major = 9,
                                        .minor = 0,
                                        .multiprocessors = kernels::sm90::kStreamingMultiprocessors};
  const kernels::KernelChoice choice =
      unverified_kernels
          ? kernels::ChooseUnverifiedToo(card, kernels::SpecialKernels())
          : kernels::ChooseKernels(card, kernels::SpecialKernels(), kernels::VerifiedKernels());
  return {.name = absl::StrCat("cards with ", choice.used.empty() ? "plain" : "Hopper", " kernels"),
          .kernels = kernels::hopper::NeedsOf(choice),
          .multiprocessors = card.multiprocessors,
          .shares_host_memory = false};
}

absl::StatusOr<int64_t> ParseMemory(const std::string& text) {
  constexpr absl::string_view kSuffixes = "KMGT";
  absl::string_view digits = text;
  int64_t unit = 1;
  if (!digits.empty()) {
    if (const size_t power = kSuffixes.find(digits.back()); power != absl::string_view::npos) {
      unit = int64_t{1} << (10 * (power + 1));
      digits.remove_suffix(1);
    }
  }
  int64_t count = 0;
  if (digits.empty() || !absl::SimpleAtoi(digits, &count) || count < 1 ||
      count > std::numeric_limits<int64_t>::max() / unit) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' must be a number of bytes, or of K, M, G or T of them, such as 80G"));
  }
  return count * unit;
}

}  // namespace deeprack::cli
