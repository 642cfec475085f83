// Settings as flags of a program, with their help texts.
#pragma once

#include <optional>
#include <string>

#include "settings/resolve.h"
#include "settings/settings.h"

namespace CLI {
class App;
}

namespace deeprack {

// What the command line says of settings, as text.
struct GivenFlags {
  Flags values;
  std::string config;  // of --config
};

// Adds the flags of all settings that `program` takes, and --config, grouped by section. `given` is filled
// when `command` parses and outlives `command`.
void AddSettingFlags(CLI::App& command, Program program, GivenFlags& given);

// Lays help texts out in two columns; for an App and the subcommands that are added to it afterwards.
void SetHelpLayout(CLI::App& app);

// Breaks `text` between words into lines of at most `width` characters.
std::string Wrapped(const std::string& text, size_t width);

struct ProgramText {
  std::string name, description, version;
};

// Reads the settings of a program that takes nothing else from its command line: coordinator or worker. When
// the program should end at once, the exit code: 0 after --help or --version; after an error, which is then
// on standard error, 64 (the command line) or 78 (the environment or the file).
std::optional<int> ReadCommandLine(Program program, const ProgramText& text, int argc, char** argv,
                                   Settings& settings);

}  // namespace deeprack
