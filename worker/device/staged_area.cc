#include "worker/device/staged_area.h"

#include "base/status_macros.h"

namespace deeprack::worker {

absl::StatusOr<StagedArea> StagedArea::Create(Device& device, const std::string& purpose, std::byte* memory,
                                              int64_t bytes) {
  Memory image;
  if (!device.shares_host_memory()) {
    DR_ASSIGN_OR_RETURN(image, device.AllocateStaging(purpose, bytes));
  }
  return StagedArea(device, std::move(image), memory, bytes);
}

StagedArea::StagedArea(Device& device, Memory image, std::byte* memory, int64_t bytes)
    : device_(&device),
      image_(std::move(image)),
      host_(image_.data() != nullptr ? image_.data() : memory),
      memory_(memory),
      bytes_(bytes) {}

}  // namespace deeprack::worker
