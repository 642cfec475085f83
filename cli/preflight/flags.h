// The command lines of `deeprack preflight` and `deeprack preflight-agent`.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cli/preflight/agent.h"
#include "cli/preflight/rack_check.h"
#include "settings/command_line.h"

namespace deeprack::cli {

// The flags of `serve`, and the command's own. The object outlives the command's parsing.
class PreflightFlags {
 public:
  void AddTo(CLI::App& command);

  // The rack's settings. With --agents a file may hold what coordinator and workers read, as units and pods
  // share it: `coordinator`, and no `hosts`. A model that is not named stays "", as for
  // deeprack-coordinator. Errors: those of LoadServeSettings.
  absl::StatusOr<Settings> LoadSettings() const;
  // `version`: of this build. InvalidArgument: an agent's address.
  absl::StatusOr<RackCheckOptions> Options(const std::string& version) const;

 private:
  GivenFlags serve_;
  RackCheckOptions options_;
  double least_gigabytes_ = 0;  // per second
  std::string digest_ = "samples";
};

class AgentFlags {
 public:
  void AddTo(CLI::App& command);
  AgentOptions Options(const std::string& version) const;

 private:
  AgentOptions options_;
};

}  // namespace deeprack::cli
