// The command line of `deeprack load`.
#pragma once

#include "cli/load/load_options.h"
#include "settings/command_line.h"

namespace CLI {
class App;
}

namespace deeprack::cli {

// The object outlives the command's parsing.
class LoadFlags {
 public:
  void AddTo(CLI::App& command);
  // Runs the command after parsing. Returns the exit code.
  int Run();

 private:
  GivenFlags serve_;
  LoadOptions options_;
};

}  // namespace deeprack::cli
