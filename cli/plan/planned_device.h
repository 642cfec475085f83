// What a rank would compute on, without having it.
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

// `backend`: as `serve` is told; auto is the CPU, since nobody knows what the ranks' machines will have. A
// card is an H100 or H200 SXM, with the kernels that a worker would use on it: with `unverified_kernels`
// those that have not been proven, too.
PlannedDevice PlannedDeviceOf(const std::string& backend, bool unverified_kernels);

}  // namespace deeprack::cli
