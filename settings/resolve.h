// Settings from their four sources. A flag wins over a DEEPRACK_* variable, a variable over the YAML file,
// the file over the default.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "settings/settings.h"

namespace deeprack {

using Flags = std::map<std::string, std::string>;  // a setting's name -> its text
using Environment = std::function<std::optional<std::string>(const std::string& variable)>;

// Names the YAML file when no --config does.
inline constexpr char kConfigVariable[] = "DEEPRACK_CONFIG";

// The value of a variable of this process; nullopt when it is not set.
std::optional<std::string> FromEnvironment(const std::string& variable);

struct YamlFile {
  std::string text;  // "": no settings
  std::string name;  // for messages
};

// The settings that `program` takes from the sources; other fields keep their defaults. A file may hold
// settings of several programs: each program skips what is another program's. Errors say which
// setting is wrong, where it was found, what was found and what it must be. InvalidArgument: a flag.
// FailedPrecondition: a variable or the file.
absl::StatusOr<Settings> ResolveSettings(Program program, const Flags& flags, const Environment& environment,
                                         const YamlFile& file);

// As ResolveSettings, with the environment of this process, and the file at `config` or, when `config` is "",
// at $DEEPRACK_CONFIG. FailedPrecondition also: the file cannot be read.
absl::StatusOr<Settings> LoadSettings(Program program, const Flags& flags, std::string config);

}  // namespace deeprack
