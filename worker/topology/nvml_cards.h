// The machine's cards, read with NVIDIA's management library (NVML), which is loaded at run time: the same
// build runs on machines without it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/topology/machine_report.h"

namespace deeprack::worker {

inline constexpr const char* kNvmlLibrary = "libnvidia-ml.so.1";

// All cards that the driver shows, in NVML's order. Two cards are in one link group when NVML says that they
// reach each other over NVLink, directly or through other cards. Errors: NotFound (no such library),
// FailedPrecondition (the library lacks a function, or a call fails: the message has NVML's reason).
absl::StatusOr<std::vector<CardReport>> ReadCards(const std::string& library = kNvmlLibrary);

}  // namespace deeprack::worker
