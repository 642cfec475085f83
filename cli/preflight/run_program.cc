#include "cli/preflight/run_program.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "cli/serve/child_process.h"

namespace deeprack::cli {
namespace {

constexpr size_t kMostOutput = 1 << 20;

}  // namespace

absl::StatusOr<ProgramEnd> RunProgram(const std::vector<std::string>& command, absl::Duration patience,
                                      const std::vector<std::string>& environment) {
  DR_ASSIGN_OR_RETURN(ChildProcess child, ChildProcess::Start(command, environment, /*pipe_output=*/true));
  const absl::Time deadline = absl::Now() + patience;
  ProgramEnd end;
  char piece[4096];
  while (absl::Now() < deadline) {
    pollfd wait{.fd = child.output(), .events = POLLIN};
    if (poll(&wait, 1, 50) <= 0) continue;
    const ssize_t got = read(child.output(), piece, sizeof(piece));
    if (got <= 0) break;
    const size_t room = kMostOutput - end.output.size();
    end.output.append(piece, std::min(static_cast<size_t>(got), room));
  }
  const auto left = std::max(absl::ToInt64Milliseconds(deadline - absl::Now()), int64_t{0});
  const auto code = child.WaitFor(std::chrono::milliseconds(left + 100));
  if (!code.has_value()) {
    return absl::DeadlineExceededError(
        absl::StrCat(command[0], " did not end within ", absl::FormatDuration(patience)));
  }
  end.exit_code = *code;
  return end;
}

}  // namespace deeprack::cli
