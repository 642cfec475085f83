#include "settings/yaml_settings.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "base/message_text.h"
#include "base/nearest_word.h"
#include "settings/setting.h"

namespace deeprack {
namespace {

constexpr size_t kLongestKey = 256;  // characters of a key that is compared with all settings

// For a key that is no setting: the setting that differs in a third of the letters at most, else all
// settings.
std::string Advice(absl::string_view key) {
  std::vector<std::string> known;
  for (const Setting& setting : SettingTable()) known.push_back(KeyOf(setting.name));
  const std::string meant =
      key.size() > kLongestKey ? "" : NearestWord(KeyOf(key), known, std::max<size_t>(1, key.size() / 3));
  if (!meant.empty()) return absl::StrCat("did you mean '", meant, "'?");
  return absl::StrCat("known: ", absl::StrJoin(known, ", "));
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
  std::map<std::string, int> lines;  // a setting's name -> the line where it stands
  const auto wrong = [&](const auto&... message) {
    return absl::FailedPreconditionError(absl::StrCat(name, ": ", message...));
  };
  try {
    const YAML::Node root = YAML::Load(yaml);
    if (root.IsNull()) return values;
    if (!root.IsMap()) return wrong("expected lines of `setting: value`");
    for (const auto& entry : root) {
      const std::string& key = entry.first.Scalar();
      const int line = entry.first.Mark().line + 1;
      const Setting* setting = FindSetting(absl::StrReplaceAll(key, {{"_", "-"}}));
      if (setting == nullptr)
        return wrong("line ", line, ": unknown setting ", QuotedName(key), "; ", Advice(key));
      const std::string setting_name(setting->name);
      if (const auto [first, is_new] = lines.emplace(setting_name, line); !is_new) {
        return wrong("line ", line, ": '", KeyOf(setting_name), "' stands in line ", first->second,
                     " already; remove one of the two lines");
      }
      if (!setting->taken_by(program)) continue;
      const absl::StatusOr<std::string> text = TextOfNode(entry.second);
      if (!text.ok()) return wrong("line ", line, ": '", KeyOf(setting_name), "' ", text.status().message());
      values[setting_name] = *text;
    }
  } catch (const YAML::Exception& error) {
    return wrong(error.what());
  }
  return values;
}

}  // namespace deeprack
