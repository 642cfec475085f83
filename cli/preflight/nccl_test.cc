#include "cli/preflight/nccl_test.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/preflight/run_program.h"
#include "cli/serve/programs.h"

namespace deeprack::cli {
namespace {

constexpr char kProgram[] = "all_reduce_perf";
constexpr absl::Duration kHelpPatience = absl::Seconds(10);

// The text after the colon in the line that contains `name`; "": no such line.
std::string ValueOf(absl::string_view output, absl::string_view name) {
  for (const absl::string_view line : absl::StrSplit(output, '\n')) {
    const size_t at = line.find(name), colon = line.find(':');
    if (at == absl::string_view::npos || colon == absl::string_view::npos || colon < at) continue;
    return std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  return "";
}

}  // namespace

std::vector<std::string> NcclTestCommand(const std::vector<HostSlots>& hosts, int32_t ranks, bool as_root) {
  std::vector<std::string> command = {"mpirun", "--oversubscribe",  "--bind-to", "none",
                                      "-n",     absl::StrCat(ranks)};
  if (as_root) command.push_back("--allow-run-as-root");
  if (!hosts.empty()) command.insert(command.end(), {"-H", HostsText(hosts)});
  // A sum of 64 MiB over all processes, with one card each.
  command.insert(command.end(), {kProgram, "-b", "64M", "-e", "64M", "-g", "1"});
  return command;
}

Finding JudgeNcclTest(int exit_code, absl::string_view output) {
  Finding finding{.check = "nccl", .subject = "all cards"};
  const std::string wrong = ValueOf(output, "Out of bounds values"),
                    rate = ValueOf(output, "Avg bus bandwidth");
  if (exit_code == 0 && absl::StrContains(wrong, "OK") && !rate.empty()) {
    finding.found = absl::StrCat("the sum is right; bus bandwidth ", rate, " GB/s");
    return finding;
  }
  finding.verdict = Verdict::kFail;
  finding.found = exit_code != 0 ? absl::StrCat(kProgram, " ended with exit code ", exit_code)
                                 : absl::StrCat("values out of bounds: ", wrong.empty() ? "not said" : wrong);
  finding.remedy = absl::StrCat("run it by hand with NCCL_DEBUG=INFO; NCCL_SOCKET_IFNAME names the network");
  return finding;
}

Finding RunNcclTest(const std::vector<HostSlots>& hosts, int32_t ranks, bool as_root,
                    absl::Duration patience) {
  if (absl::IsNotFound(RunProgram({kProgram, "--help"}, kHelpPatience).status())) {
    return {.check = "nccl",
            .subject = "all cards",
            .verdict = Verdict::kWarning,
            .found = absl::StrCat("not tested: ", kProgram, " is not in PATH"),
            .remedy = "build NVIDIA's nccl-tests with MPI=1 on every host"};
  }
  const auto end = RunProgram(NcclTestCommand(hosts, ranks, as_root), patience, MpirunEnvironment());
  if (end.ok()) return JudgeNcclTest(end->exit_code, end->output);
  return {.check = "nccl",
          .subject = "all cards",
          .verdict = Verdict::kFail,
          .found = std::string(end.status().message()),
          .remedy = "run it by hand with NCCL_DEBUG=INFO"};
}

}  // namespace deeprack::cli
