#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/preflight/figures_text.h"
#include "cli/preflight/judges.h"
#include "cli/preflight/model_digest.h"
#include "proto/preflight.pb.h"

namespace deeprack::cli {
namespace {

using preflight::Host;
using preflight::ModelFile;
using preflight::Rack;

constexpr int kMostRows = 10;  // of one host's files

// One machine's files by name.
using FilesByName = std::map<std::string, const ModelFile*>;
// What a file is: its size and digest. A missing file has size -1.
using Content = std::pair<int64_t, std::string>;

struct MachineFiles {
  std::string name;
  FilesByName files;
};

template <class Files>
FilesByName ByName(const Files& files) {
  FilesByName by_name;
  for (const ModelFile& file : files) by_name.emplace(file.name(), &file);
  return by_name;
}

Content ContentOf(const FilesByName& files, const std::string& name) {
  const auto at = files.find(name);
  return at == files.end() ? Content{-1, ""} : Content{at->second->bytes(), at->second->digest()};
}

// What most machines have under `name`; with equal numbers, what the first machine has.
Content MostHave(const std::vector<MachineFiles>& machines, const std::string& name) {
  std::map<Content, int> votes;
  for (const MachineFiles& machine : machines) ++votes[ContentOf(machine.files, name)];
  Content best = ContentOf(machines[0].files, name);
  for (const auto& [content, count] : votes) {
    if (count > votes[best]) best = content;
  }
  return best;
}

// How `found` differs from `right`; "": it does not.
std::string Difference(const Content& found, const Content& right) {
  if (found == right) return "";
  if (found.first < 0) return "is missing";
  if (right.first < 0) return "is on this machine only";
  if (found.first != right.first)
    return absl::StrCat("has ", found.first, " bytes; most machines have ", right.first);
  return "has other bytes than on most machines, in the same size";
}

// The rows of one machine's faults.
Findings FaultsOf(const MachineFiles& machine, const std::map<std::string, Content>& right) {
  Findings faults;
  for (const auto& [name, content] : right) {
    const auto at = machine.files.find(name);
    const std::string failure = at == machine.files.end() ? "" : at->second->failure();
    const std::string difference =
        failure.empty() ? Difference(ContentOf(machine.files, name), content) : "cannot be read: " + failure;
    if (difference.empty()) continue;
    const bool needed = RanksNeed(name);
    faults.push_back({.check = "model",
                      .subject = machine.name,
                      .verdict = needed ? Verdict::kFail : Verdict::kWarning,
                      .found = absl::StrCat(name, " ", difference),
                      .remedy = needed
                                    ? absl::StrCat("copy ", name, " there again from a machine that is right")
                                    : "ranks do not read it; the coordinator may"});
  }
  return faults;
}

}  // namespace

Findings JudgeModel(const Rack& rack) {
  Findings findings;
  std::vector<MachineFiles> machines;
  // Without files here, the check of the settings says so.
  if (rack.own_files_size() > 0) machines.push_back({"this machine", ByName(rack.own_files())});
  for (const Host& host : rack.hosts()) {
    if (!host.failure().empty()) continue;
    if (host.files_failure().empty()) {
      machines.push_back({host.name(), ByName(host.files())});
    } else {
      findings.push_back({"model", host.name(), Verdict::kFail, host.files_failure(),
                          "the model must be at the same path on every host"});
    }
  }
  std::map<std::string, Content> right;
  for (const MachineFiles& machine : machines) {
    for (const auto& [name, file] : machine.files) {
      if (!right.contains(name)) right.emplace(name, MostHave(machines, name));
    }
  }
  int64_t bytes = 0;
  for (const auto& [name, content] : right) bytes += content.first > 0 ? content.first : 0;
  for (const MachineFiles& machine : machines) {
    Findings faults = FaultsOf(machine, right);
    const bool is_own = &machine == &machines[0] && rack.own_files_size() > 0;
    const bool is_told = !is_own || machines.size() == 1;  // else the hosts' rows say it
    if (faults.empty() && is_told) {
      findings.push_back(
          {.check = "model",
           .subject = machine.name,
           .found = absl::StrCat(machine.files.size(), " files, ", BytesText(bytes), ", equal by size and ",
                                 rack.full_digests() ? "all bytes" : "samples")});
    }
    const size_t more = faults.size() > kMostRows ? faults.size() - kMostRows : 0;
    if (more > 0) {
      faults.resize(kMostRows);
      faults.push_back({"model", machine.name, Verdict::kFail, absl::StrCat(more, " more files differ"),
                        "copy the whole model there again"});
    }
    for (Finding& fault : faults) findings.push_back(std::move(fault));
  }
  return findings;
}

}  // namespace deeprack::cli
