// Reads the answers of the coordinator: GET /ready, and the line with its ports. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/serve/commands.h"

namespace deeprack::cli {

struct ReadyState {
  std::string state;  // waiting_for_workers, loading, ready, recovering, failed, stopping
  int64_t workers_joined = 0, workers_expected = 0;
  std::vector<int64_t> missing_ranks;  // while the coordinator waits for workers
  int64_t bytes_done = 0, bytes_total = 0;
  std::string message;
};

// Internal when the text is not as cli/README.md describes it.
absl::StatusOr<ReadyState> ParseReadyState(absl::string_view json);
absl::StatusOr<CoordinatorPorts> ParsePorts(absl::string_view line);

}  // namespace deeprack::cli
