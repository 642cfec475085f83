// The command lines by which `deeprack serve` hands its settings over to the programs that it starts.
#pragma once

#include <string>
#include <vector>

#include "settings/resolve.h"
#include "settings/settings.h"

namespace deeprack {

// The arguments that give `program` the values of `settings`: the model without a flag, then "--name",
// "value" for each setting that the program takes and whose value differs from the program's default, and for
// each setting that is always said. A program that is started so must not see the variables of
// SettingVariables: they would win over the defaults. So the caller removes them from its environment.
std::vector<std::string> ArgumentsFor(Program program, const Settings& settings);

// The names of all variables that a program reads settings from, DEEPRACK_CONFIG included.
std::vector<std::string> SettingVariables();

// The variables that are set and name a setting that `program` does not take: it hands none of them over.
std::vector<std::string> VariablesOfOthers(Program program, const Environment& environment);

}  // namespace deeprack
