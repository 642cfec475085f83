// The command line of `deeprack quantize`.
#pragma once

#include "cli/quantize/quality_table.h"
#include "cli/quantize/quantize.h"

namespace CLI {
class App;
}

namespace deeprack::cli {

// The object outlives the command's parsing.
class QuantizeFlags {
 public:
  void AddTo(CLI::App& command);
  // Runs the command after parsing. Returns the exit code.
  int Run();

 private:
  QuantizeOptions options_;
  bool wants_table_ = false;
  QualityTableOptions table_;
};

}  // namespace deeprack::cli
