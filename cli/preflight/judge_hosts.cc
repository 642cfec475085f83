#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/rpc/address.h"
#include "cli/preflight/figures_text.h"
#include "cli/preflight/judges.h"
#include "proto/preflight.pb.h"
#include "settings/setting.h"

namespace deeprack::cli {
namespace {

using preflight::Host;
using preflight::HostReport;
using preflight::Rack;

constexpr int64_t kFewOpenFiles = 4096;  // beyond the connections of the HTTP server
constexpr int64_t kFewThreads = 4096;
constexpr int64_t kSmallTemporary = 64 << 20;  // bytes: mpirun's session folder
constexpr int64_t kSmallShared = 64 << 20;     // bytes: what ranks of one machine exchange through
constexpr int64_t kMuchLocked = int64_t{1} << 40;

// What to do where an agent was named and nothing listens.
std::string AgentCommandThere(const std::string& address) {
  const auto parsed = ParseHostPort(address);
  const bool needs_tls = !parsed.ok() || !IsLoopback(parsed->host);
  return absl::StrCat("start `deeprack preflight-agent --listen ", address,
                      needs_tls ? absl::StrCat(" ", FlagOf(&Settings::cluster_tls), " FOLDER") : "",
                      "` there, and read what it prints");
}

}  // namespace

Findings JudgeAgents(const Rack& rack, const std::string& version) {
  Findings findings;
  for (const Host& host : rack.hosts()) {
    Finding finding{.check = "host", .subject = host.name()};
    const HostReport& report = host.report();
    if (!host.failure().empty()) {
      finding.verdict = Verdict::kFail;
      finding.found = host.failure();
      finding.remedy = !host.address().empty() && absl::StrContains(host.failure(), "connection refused")
                           ? AgentCommandThere(host.address())
                           : "ranks cannot run there: mend this first, then run preflight again";
    } else if (report.version() != version) {
      finding.verdict = Verdict::kFail;
      finding.found = absl::StrCat("deeprack ", report.version(), "; this machine has ", version);
      finding.remedy = "the coordinator refuses workers of another version: install the same build";
    } else if (!absl::StrContains(absl::StrCat(" ", report.worker_version(), " "),
                                  absl::StrCat(" ", version, " "))) {
      finding.verdict = Verdict::kFail;
      finding.found = report.worker_version().empty()
                          ? "deeprack-worker does not run there"
                          : absl::StrCat(report.worker_version(), "; this machine has deeprack ", version);
      finding.remedy = "install the same build, all programs in one folder, and the libraries that it needs";
    } else {
      finding.found = absl::StrCat("deeprack ", version, ", answers at ", host.address());
    }
    findings.push_back(std::move(finding));
  }
  return findings;
}

Findings JudgeClocks(const Rack& rack, const PreflightLimits& limits) {
  Findings findings;
  for (const Host& host : rack.hosts()) {
    if (!host.failure().empty()) continue;
    const double offset = host.clock_offset();
    Finding finding{.check = "clock",
                    .subject = host.name(),
                    .found = absl::StrCat(TimeText(std::abs(offset)), offset < 0 ? " behind" : " ahead",
                                          ", within ", TimeText(host.clock_error()))};
    if (std::abs(offset) - host.clock_error() > limits.most_clock_skew) {
      finding.verdict = Verdict::kFail;
      finding.remedy = absl::StrCat("more than ", TimeText(limits.most_clock_skew),
                                    ": run chrony or another NTP client there. Logs and the dates of "
                                    "certificates need the time");
    }
    findings.push_back(std::move(finding));
  }
  return findings;
}

Findings JudgeMachines(const Rack& rack, const RackNeeds& needs, int64_t connections) {
  Findings findings;
  for (const Host& host : rack.hosts()) {
    if (!host.failure().empty()) continue;
    const HostReport& report = host.report();
    const size_t before = findings.size();
    const auto add = [&](const char* check, Verdict verdict, std::string found, std::string remedy) {
      findings.push_back({check, host.name(), verdict, std::move(found), std::move(remedy)});
    };
    if (!report.temporary_failure().empty()) {
      add("disk", Verdict::kFail, absl::StrCat(report.temporary_folder(), ": ", report.temporary_failure()),
          "mpirun and ranks need a folder for temporary files: set TMPDIR to one that can be written");
    } else if (report.temporary_bytes() >= 0 && report.temporary_bytes() < kSmallTemporary) {
      add("disk", Verdict::kWarning,
          absl::StrCat(report.temporary_folder(), " has ", BytesText(report.temporary_bytes()), " free"),
          "free some, or set TMPDIR");
    }
    int64_t weights = 0;
    for (const int32_t rank : host.ranks())
      weights += needs.ranks.empty() ? 0 : needs.ranks[static_cast<size_t>(rank)].weights;
    if (needs.packed && report.packed_bytes() >= 0) {
      const int64_t left = report.packed_bytes() + report.packed_present() - weights;
      add("disk", left < 0 ? Verdict::kFail : Verdict::kOk,
          absl::StrCat("--packed: ", BytesText(report.packed_bytes()), " free, ",
                       BytesText(report.packed_present()), " of files, its ranks' weights take ",
                       BytesText(weights)),
          left < 0 ? absl::StrCat(-left, " bytes (", BytesText(-left),
                                  ") are missing: free them, or name another folder")
                   : "");
    }
    if (!needs.on_cards && host.ranks_size() > 1 && report.shared_bytes() >= 0 &&
        report.shared_bytes() < kSmallShared) {
      add("shared memory", Verdict::kWarning,
          absl::StrCat("/dev/shm has ", BytesText(report.shared_bytes()), " free"),
          "ranks of one machine exchange through it: give the container more (--shm-size)");
    }
    if (report.huge_pages() == "never") {
      add("huge pages", Verdict::kWarning, "the kernel gives none (never)",
          "worth a fifth at decode on CPUs: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
    }
    if (report.open_files() >= 0 && report.open_files() < kFewOpenFiles + connections) {
      add("limits", Verdict::kWarning, absl::StrCat(report.open_files(), " open files"),
          absl::StrCat("ulimit -n ", kFewOpenFiles + connections,
                       " or more, as for the service that starts ranks"));
    }
    if (report.threads() >= 0 && report.threads() < kFewThreads) {
      add("limits", Verdict::kWarning, absl::StrCat(report.threads(), " processes and threads"),
          absl::StrCat("ulimit -u ", kFewThreads, " or more"));
    }
    if (needs.on_cards && report.locked_bytes() >= 0 && report.locked_bytes() < kMuchLocked) {
      add("limits", Verdict::kWarning, absl::StrCat(BytesText(report.locked_bytes()), " of locked memory"),
          "cards and RDMA lock memory: ulimit -l unlimited");
    }
    if (findings.size() == before) add("machine", Verdict::kOk, "disk, huge pages and limits suffice", "");
  }
  return findings;
}

Findings JudgeCards(const Rack& rack, const RackNeeds& needs) {
  Findings findings;
  for (const Host& host : rack.hosts()) {
    if (!host.failure().empty()) continue;
    const HostReport& report = host.report();
    Finding finding{.check = "cards", .subject = host.name()};
    if (!report.cards_failure().empty()) {
      finding.verdict = needs.on_cards ? Verdict::kFail : Verdict::kWarning;
      finding.found = report.cards_failure();
      finding.remedy = "run nvidia-smi there: the driver does not answer as it should";
    } else if (report.cards_size() == 0) {
      finding.found = "no cards";
      if (needs.on_cards && host.ranks_size() > 0) {
        finding.verdict = Verdict::kFail;
        finding.remedy =
            "its ranks need cards: install the driver, or give the container the cards, or set --backend cpu";
      }
    } else {
      finding.found = absl::StrCat(report.cards_size(), " x ", report.cards(0).name());
      for (const preflight::Card& card : report.cards()) {
        if (card.name() == report.cards(0).name()) continue;
        finding.verdict = Verdict::kWarning;
        finding.found = absl::StrCat(finding.found, ", card ", card.number(), " is ", card.name());
        finding.remedy = "the slowest card sets the pace";
        break;
      }
    }
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace deeprack::cli
