#include "settings/resolve.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "settings/setting.h"
#include "settings/yaml_settings.h"

namespace deeprack {
namespace {

// A value and where it stood.
struct Found {
  std::string text, place;
  bool is_flag = false;
};

std::optional<Found> Find(const std::string& name, const Flags& flags, const Environment& environment,
                          const Flags& file, const std::string& file_name) {
  if (const auto flag = flags.find(name); flag != flags.end())
    return Found{flag->second, absl::StrCat("--", name), true};
  // An empty variable is one that is not set, as shells and compose files make it.
  if (auto text = environment(VariableOf(name)); text && !text->empty())
    return Found{*std::move(text), VariableOf(name)};
  if (const auto entry = file.find(name); entry != file.end())
    return Found{entry->second, absl::StrCat(file_name, ": ", KeyOf(name))};
  return std::nullopt;
}

// --layouts decides tp, dp, ep and pp, which may only repeat what its first layout says.
absl::Status TakeLargestLayout(Settings& settings) {
  if (settings.layouts.empty()) return absl::OkStatus();
  const model::Layout& largest = settings.layouts.front();
  const Settings defaults;
  const std::pair<int32_t Settings::*, int32_t> axes[] = {{&Settings::tp, largest.tp},
                                                          {&Settings::dp, largest.dp},
                                                          {&Settings::ep, largest.ep},
                                                          {&Settings::pp, largest.pp}};
  for (const auto& [field, value] : axes) {
    if (settings.*field != defaults.*field && settings.*field != value) {
      return absl::FailedPreconditionError(
          absl::StrCat(FlagOf(field), " ", settings.*field, " and the first of ", FlagOf(&Settings::layouts),
                       ", ", model::ToString(largest), ", say different layouts: leave out ", FlagOf(field)));
    }
    settings.*field = value;
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<std::string> FromEnvironment(const std::string& variable) {
  const char* value = std::getenv(variable.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

absl::StatusOr<Settings> ResolveSettings(Program program, const Flags& flags, const Environment& environment,
                                         const YamlFile& file) {
  DR_ASSIGN_OR_RETURN(const Flags in_file, ParseYamlSettings(program, file.text, file.name));
  Settings settings = DefaultsOf(program);
  for (const Setting& setting : SettingTable()) {
    if (!setting.taken_by(program)) continue;
    const auto found = Find(std::string(setting.name), flags, environment, in_file, file.name);
    if (!found.has_value()) continue;
    if (const absl::Status status = SetFromText(setting, found->text, settings); !status.ok()) {
      const std::string message = absl::StrCat(found->place, ": '", found->text, "' ", status.message());
      return found->is_flag ? absl::InvalidArgumentError(message) : absl::FailedPreconditionError(message);
    }
  }
  DR_RETURN_IF_ERROR(TakeLargestLayout(settings));
  return settings;
}

absl::StatusOr<Settings> LoadSettings(Program program, const Flags& flags, std::string config) {
  if (config.empty()) config = FromEnvironment(kConfigVariable).value_or("");
  YamlFile file = {.text = "", .name = config};
  if (!config.empty()) {
    std::ifstream stream(config, std::ios::binary);
    file.text.assign(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
    if (!stream) return absl::FailedPreconditionError(absl::StrCat("--config ", config, ": cannot be read"));
  }
  return ResolveSettings(program, flags, FromEnvironment, file);
}

}  // namespace deeprack
