// Reads lines of standard input; a signal ends the wait.
#pragma once

#include <optional>
#include <string>

namespace deeprack::cli {

// The next line without its end; nullopt at the end of input or when a signal interrupted the wait.
std::optional<std::string> ReadInputLine();

}  // namespace deeprack::cli
