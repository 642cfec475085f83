// Settings in a YAML file: lines of `name: value`.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "settings/settings.h"

namespace deeprack {

// A setting's name -> its text. Keys may have dashes or underscores; a list (hosts: [a:2, b]) is joined by
// commas. `name` names the file in messages. FailedPrecondition: text that is not such a file, or a key that
// is no setting. Of settings that `program` does not take, coordinator and worker skip all; the `deeprack`
// command, which starts the others, refuses them.
absl::StatusOr<std::map<std::string, std::string>> ParseYamlSettings(Program program, const std::string& yaml,
                                                                     const std::string& name);

}  // namespace deeprack
