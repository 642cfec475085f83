#include "settings/yaml_settings.h"

#include <yaml-cpp/yaml.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "base/status_macros.h"
#include "settings/setting.h"

namespace deeprack {
namespace {

std::string KnownNames(Program program) {
  std::vector<absl::string_view> known;
  for (const Setting& setting : SettingTable()) {
    if (setting.taken_by(program)) known.push_back(setting.name);
  }
  return absl::StrJoin(known, ", ");
}

absl::StatusOr<std::string> TextOfNode(const YAML::Node& node) {
  if (node.IsScalar()) return node.Scalar();
  if (node.IsSequence()) {
    std::vector<std::string> parts;
    for (const YAML::Node& part : node) {
      if (!part.IsScalar())
        return absl::InvalidArgumentError("must be a plain value or a list of plain values");
      parts.push_back(part.Scalar());
    }
    return absl::StrJoin(parts, ",");
  }
  return absl::InvalidArgumentError("must be a plain value or a list of plain values");
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> ParseYamlSettings(Program program, const std::string& yaml,
                                                                     const std::string& name) {
  std::map<std::string, std::string> values;
  const auto wrong = [&](const auto&... message) {
    return absl::FailedPreconditionError(absl::StrCat(name, ": ", message...));
  };
  try {
    const YAML::Node root = YAML::Load(yaml);
    if (root.IsNull()) return values;
    if (!root.IsMap()) return wrong("expected lines of `setting: value`");
    for (const auto& entry : root) {
      const std::string key = absl::StrReplaceAll(entry.first.Scalar(), {{"_", "-"}});
      const Setting* setting = FindSetting(key);
      if (setting == nullptr)
        return wrong("unknown setting '", entry.first.Scalar(), "'; known: ", KnownNames(program));
      if (!setting->taken_by(program)) {
        if (program != Program::kServe) continue;
        return wrong("'", entry.first.Scalar(),
                     "' is a setting of deeprack-worker alone; known: ", KnownNames(program));
      }
      const absl::StatusOr<std::string> text = TextOfNode(entry.second);
      if (!text.ok()) return wrong(key, ": ", text.status().message());
      values[key] = *text;
    }
  } catch (const YAML::Exception& error) {
    return wrong(error.what());
  }
  return values;
}

}  // namespace deeprack
