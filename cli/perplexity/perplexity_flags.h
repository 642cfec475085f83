// The command line of `deeprack perplexity`.
#pragma once

#include "cli/perplexity/perplexity.h"
#include "settings/command_line.h"

namespace CLI {
class App;
}

namespace deeprack::cli {

// Adds --text, --context and --windows. `options` outlives the command's parsing.
void AddTextOptions(PerplexityOptions& options, CLI::App& command);

// The object outlives the command's parsing.
class PerplexityFlags {
 public:
  void AddTo(CLI::App& command);
  // Runs the command after parsing. Returns the exit code.
  int Run();

 private:
  GivenFlags serve_;
  PerplexityOptions options_;
};

}  // namespace deeprack::cli
