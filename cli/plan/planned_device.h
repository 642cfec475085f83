// The device that a planned rank would compute on.
#pragma once

#include <string>

#include "kernels/api/kernel_needs.h"
#include "sizing/rank_footprint.h"

namespace deeprack::cli {

struct PlannedDevice {
  std::string name;  // for people
  kernels::KernelNeeds kernels;
  int multiprocessors = 0;
  bool shares_host_memory = true;

  sizing::DeviceNeeds needs() const {
    return {.kernels = kernels, .multiprocessors = multiprocessors, .shares_host_memory = shares_host_memory};
  }
};

// `backend`: as for `serve`; auto means the CPU, because the ranks' machines are unknown. A card is an H100
// or H200 SXM with the kernels that a worker would use on it; `unverified_kernels` adds kernels that have not
// passed `make gpu-check`.
PlannedDevice PlannedDeviceOf(const std::string& backend, bool unverified_kernels);

}  // namespace deeprack::cli
