#include "settings/hand_over.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "settings/setting.h"

namespace deeprack {

std::vector<std::string> ArgumentsFor(Program program, const Settings& settings) {
  const Settings defaults = DefaultsOf(program);
  std::vector<std::string> arguments;
  for (const Setting& setting : SettingTable()) {
    if (!setting.taken_by(program)) continue;
    const std::string text = TextOf(setting, settings);
    if (!setting.always_said && text == TextOf(setting, defaults)) continue;
    if (setting.is_positional()) {
      arguments.push_back(text);
    } else if (std::holds_alternative<bool Settings::*>(setting.field)) {
      arguments.push_back(absl::StrCat(text == "true" ? "--" : "--no-", setting.name));
    } else {
      arguments.push_back(absl::StrCat("--", setting.name));
      arguments.push_back(text);
    }
  }
  return arguments;
}

std::vector<std::string> SettingVariables() {
  std::vector<std::string> variables = {kConfigVariable};
  for (const Setting& setting : SettingTable()) variables.push_back(VariableOf(setting.name));
  return variables;
}

std::vector<std::string> VariablesOfOthers(Program program, const Environment& environment) {
  std::vector<std::string> variables;
  for (const Setting& setting : SettingTable()) {
    if (setting.taken_by(program)) continue;
    std::string variable = VariableOf(setting.name);
    if (const auto text = environment(variable); text && !text->empty())
      variables.push_back(std::move(variable));
  }
  return variables;
}

}  // namespace deeprack
