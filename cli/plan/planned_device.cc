#include "cli/plan/planned_device.h"

#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/api/card_kernels.h"
#include "kernels/api/cpu_kernels.h"

namespace deeprack::cli {

PlannedDevice PlannedDeviceOf(const std::string& backend, bool unverified_kernels) {
  if (backend != "cuda") return {.name = "the CPU", .kernels = kernels::kCpuNeeds};
  const kernels::CardProperties card = kernels::HopperCard();
  const kernels::KernelChoice choice = kernels::ChooseKernels(card, unverified_kernels);
  return {.name = absl::StrCat("cards with ", choice.used.empty() ? "plain" : "Hopper", " kernels"),
          .kernels = kernels::CardNeeds(choice),
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
