#include "cli/preflight/agent_launch.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/rpc/address.h"
#include "cli/serve/programs.h"
#include "settings/hand_over.h"
#include "settings/setting.h"

namespace deeprack::cli {
namespace {

constexpr char kIdleSeconds[] = "60";  // an agent whose command has gone ends
constexpr size_t kMostOutput = 1 << 16;
constexpr auto kPatience = std::chrono::seconds(3);  // for the end of an agent

// The address in the line that an agent prints; "" if there is no such line yet.
std::string AddressIn(const std::string& output) {
  for (size_t begin = 0, end; (end = output.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const auto line = nlohmann::json::parse(output.substr(begin, end - begin), nullptr, false);
    if (!line.is_object() || !line.contains("agent") || !line["agent"].is_string()) continue;
    const std::string address = line["agent"];
    if (ParseHostPort(address).ok()) return address;
  }
  return "";
}

std::string Ended(const std::string& host, int exit_code) {
  if (host.empty()) return absl::StrCat("the agent has ended with exit code ", exit_code);
  return absl::StrCat("no agent could be started: mpirun ended with exit code ", exit_code,
                      " and said why on standard error. Try `ssh ", host,
                      " true`, and look for deeprack at the same path there");
}

}  // namespace

std::vector<std::string> AgentCommand(const std::string& program, const std::string& host,
                                      const std::string& towards, const std::string& cluster_tls,
                                      bool as_root) {
  std::vector<std::string> command;
  if (!host.empty()) {
    command = {"mpirun", "--bind-to", "none", "-n", "1"};
    if (as_root) command.push_back("--allow-run-as-root");
    command.insert(command.end(), {"-H", host + ":1"});
  }
  command.insert(command.end(),
                 {program, "preflight-agent", "--towards", towards, "--idle-seconds", kIdleSeconds});
  if (!cluster_tls.empty()) command.insert(command.end(), {FlagOf(&Settings::cluster_tls), cluster_tls});
  return command;
}

LaunchedAgents::LaunchedAgents(const Settings& settings, const std::string& towards,
                               absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  for (const HostSlots& host : settings.hosts) {
    const auto is_same = [&](const AgentPlace& place) { return place.host == host.host; };
    if (std::none_of(places_.begin(), places_.end(), is_same)) places_.push_back({.host = host.host});
  }
  if (places_.empty()) places_.push_back({});
  const auto program = FindProgram("deeprack");
  std::vector<std::string> environment = SettingVariables();
  for (std::string& variable : MpirunEnvironment()) environment.push_back(std::move(variable));
  for (AgentPlace& place : places_) {
    children_.emplace_back();
    if (!program.ok()) {
      place.failure = std::string(program.status().message());
      continue;
    }
    auto child = ChildProcess::Start(
        AgentCommand(*program, place.host, towards, settings.cluster_tls, geteuid() == 0), environment,
        /*pipe_output=*/true);
    if (!child.ok()) {
      place.failure = std::string(child.status().message());
      continue;
    }
    children_.back().emplace(*std::move(child));
  }
  ReadAddresses(deadline, patience);
}

void LaunchedAgents::ReadAddresses(absl::Time deadline, absl::Duration patience) {
  std::vector<std::string> output(places_.size());
  while (true) {
    std::vector<pollfd> waits;
    std::vector<size_t> waiting;
    for (size_t i = 0; i < places_.size(); ++i) {
      if (!places_[i].address.empty() || !places_[i].failure.empty()) continue;
      waits.push_back({.fd = children_[i]->output(), .events = POLLIN});
      waiting.push_back(i);
    }
    if (waits.empty()) return;
    const auto left = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left <= 0) {
      for (const size_t i : waiting) {
        places_[i].failure =
            absl::StrCat("no agent has started within ", absl::FormatDuration(patience), ": is the host up?");
      }
      return;
    }
    if (poll(waits.data(), waits.size(), static_cast<int>(left)) <= 0) continue;
    for (size_t w = 0; w < waits.size(); ++w) {
      if (waits[w].revents == 0) continue;
      const size_t i = waiting[w];
      char piece[1024];
      const ssize_t got = read(waits[w].fd, piece, sizeof(piece));
      if (got > 0) {
        output[i].append(piece, static_cast<size_t>(got));
        places_[i].address = AddressIn(output[i]);
        if (output[i].size() > kMostOutput) places_[i].failure = "the agent printed no address";
      } else {
        const int code = children_[i]->WaitFor(kPatience).value_or(-1);
        places_[i].failure = Ended(places_[i].host, code);
      }
    }
  }
}

LaunchedAgents::~LaunchedAgents() {
  for (auto& child : children_) {
    if (child.has_value()) child->Signal(SIGTERM);
  }
  for (auto& child : children_) {
    if (!child.has_value()) continue;
    child->WaitFor(kPatience);  // a second SIGTERM would make mpirun leave its agent behind
    child->Stop(std::chrono::milliseconds(0));
  }
}

}  // namespace deeprack::cli
