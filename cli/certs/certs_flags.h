// The command line of `deeprack certs`.
#pragma once

#include <string>

#include "cli/certs/certs.h"

namespace CLI {
class App;
}

namespace deeprack::cli {

// The object outlives the command's parsing.
class CertsFlags {
 public:
  void AddTo(CLI::App& command);
  // Runs the command after parsing. Returns the exit code.
  int Run();

 private:
  std::string authority_, folder_;
  CertsOptions options_;
  CLI::App *make_ = nullptr, *add_ = nullptr, *show_ = nullptr;
};

}  // namespace deeprack::cli
