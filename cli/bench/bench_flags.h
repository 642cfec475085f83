// The command line of `deeprack bench`.
#pragma once

#include "cli/bench/bench.h"
#include "settings/command_line.h"

namespace CLI {
class App;
}

namespace deeprack::cli {

// The object outlives the command's parsing.
class BenchFlags {
 public:
  void AddTo(CLI::App& command);
  // Runs the command after parsing. Returns the exit code.
  int Run();

 private:
  GivenFlags serve_;
  BenchOptions options_;
};

}  // namespace deeprack::cli
