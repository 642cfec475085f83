// NVIDIA's own test of NCCL over all cards of a rack: all_reduce_perf of nccl-tests, built with MPI=1.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/preflight/finding.h"
#include "settings/host_slots.h"

namespace deeprack::cli {

// The command: one process for each rank on `hosts`, each with a card. Without hosts: `ranks` on this
// machine.
std::vector<std::string> NcclTestCommand(const std::vector<HostSlots>& hosts, int32_t ranks, bool as_root);

// The row for the output of a test that ended with `exit_code`.
Finding JudgeNcclTest(int exit_code, absl::string_view output);

// Runs the test. A warning when all_reduce_perf is not in PATH.
Finding RunNcclTest(const std::vector<HostSlots>& hosts, int32_t ranks, bool as_root,
                    absl::Duration patience);

}  // namespace deeprack::cli
