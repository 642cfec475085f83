#include "cli/plan/planned_device.h"

#include "absl/strings/str_cat.h"
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

}  // namespace deeprack::cli
