// The command line of `deeprack keys`.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace deeprack::cli {

// The object outlives the command's parsing.
class KeysFlags {
 public:
  void AddTo(CLI::App& command);
  // Runs the command after parsing. Returns the exit code.
  int Run();

 private:
  std::string file_, name_, expires_ = "never";
  CLI::App *add_ = nullptr, *list_ = nullptr, *remove_ = nullptr;
};

}  // namespace deeprack::cli
