// Settings in a YAML file: lines of `name: value`.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "settings/settings.h"

namespace deeprack {

// A setting's name -> its text. Keys may have dashes or underscores; a list (hosts: [a:2, b]) is joined by
// commas. Settings that `program` does not take are skipped: one file may serve all programs. `name` names the
// file in messages. FailedPrecondition, mostly with the line: text that is not such a file, a key that is no
// setting, or a key that stands twice.
absl::StatusOr<std::map<std::string, std::string>> ParseYamlSettings(Program program, const std::string& yaml,
                                                                     const std::string& name);

}  // namespace deeprack
