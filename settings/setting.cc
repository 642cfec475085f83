#include "settings/setting.h"

#include <algorithm>
#include <type_traits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "settings/failure_limit.h"
#include "settings/layout_list.h"
#include "settings/size_text.h"

namespace deeprack {
namespace {

std::string Whole(double number) { return absl::StrCat(static_cast<int64_t>(number)); }

std::string OneOf(const Setting& setting) { return absl::StrJoin(setting.choices, ", "); }

template <class T>
absl::Status Read(const Setting& setting, absl::string_view text, T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    const bool on = absl::EqualsIgnoreCase(text, "on");
    if (on || absl::EqualsIgnoreCase(text, "off")) {
      value = on;
      return absl::OkStatus();
    }
    if (absl::SimpleAtob(text, &value)) return absl::OkStatus();
    return absl::InvalidArgumentError("must be true or false");
  } else if constexpr (std::is_same_v<T, int32_t>) {
    int64_t number = 0;
    if (!absl::SimpleAtoi(text, &number) || static_cast<double>(number) < setting.low ||
        static_cast<double>(number) > setting.high) {
      return absl::InvalidArgumentError(
          absl::StrCat("must be a whole number from ", Whole(setting.low), " to ", Whole(setting.high)));
    }
    value = static_cast<int32_t>(number);
  } else if constexpr (std::is_same_v<T, int64_t>) {
    DR_ASSIGN_OR_RETURN(value, ParseSize(text, static_cast<int64_t>(setting.low)));
  } else if constexpr (std::is_same_v<T, double>) {
    double number = 0;
    if (!absl::SimpleAtod(text, &number) || !(number >= setting.low && number <= setting.high)) {
      return absl::InvalidArgumentError(
          absl::StrCat("must be a number of ", setting.unit, " from ", setting.low, " to ", setting.high));
    }
    value = number;
  } else if constexpr (std::is_same_v<T, std::string>) {
    const auto& choices = setting.choices;
    if (!choices.empty() && std::find(choices.begin(), choices.end(), text) == choices.end())
      return absl::InvalidArgumentError(absl::StrCat("must be one of ", OneOf(setting)));
    value = std::string(text);
  } else if constexpr (std::is_same_v<T, std::vector<model::Layout>>) {
    DR_ASSIGN_OR_RETURN(value, ParseLayouts(text));
  } else if constexpr (std::is_same_v<T, FailureLimit>) {
    DR_ASSIGN_OR_RETURN(value, ParseFailureLimit(text));
  } else {
    DR_ASSIGN_OR_RETURN(value, ParseHosts(text));
  }
  return absl::OkStatus();
}

std::string Write(bool value) { return value ? "true" : "false"; }
std::string Write(int32_t value) { return absl::StrCat(value); }
std::string Write(int64_t value) { return SizeText(value); }
std::string Write(double value) { return absl::StrCat(value); }
std::string Write(const std::string& value) { return value; }
std::string Write(const std::vector<HostSlots>& value) { return HostsText(value); }
std::string Write(const std::vector<model::Layout>& value) { return LayoutsText(value); }
std::string Write(const FailureLimit& value) { return FailureLimitText(value); }

template <class T>
bool Holds(const Setting& setting) {
  return std::holds_alternative<T Settings::*>(setting.field);
}

}  // namespace

Settings DefaultsOf(Program program) {
  Settings settings;
  if (program != Program::kServe) settings.log_level = "info";
  return settings;
}

const Setting* FindSetting(absl::string_view name) {
  for (const Setting& setting : SettingTable()) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

absl::Status SetFromText(const Setting& setting, absl::string_view text, Settings& settings) {
  return std::visit([&](auto field) { return Read(setting, text, settings.*field); }, setting.field);
}

std::string TextOf(const Setting& setting, const Settings& settings) {
  return std::visit([&](auto field) { return Write(settings.*field); }, setting.field);
}

std::string RangeText(const Setting& setting) {
  if (Holds<bool>(setting)) return "true, false";
  if (!setting.choices.empty()) return OneOf(setting);
  if (Holds<int64_t>(setting))
    return absl::StrCat("0 or more ", setting.unit, "; K, M, G, T: powers of 1024");
  if (Holds<std::vector<HostSlots>>(setting)) return "host:ranks,host:ranks";
  if (Holds<std::vector<model::Layout>>(setting)) return "layouts, the largest first: tp8dp4,tp8dp2";
  if (Holds<FailureLimit>(setting)) return "times/minutes";
  if (!Holds<int32_t>(setting) && !Holds<double>(setting)) return "";
  const std::string range = Holds<int32_t>(setting)
                                ? absl::StrCat(Whole(setting.low), " to ", Whole(setting.high))
                                : absl::StrCat(setting.low, " to ", setting.high);
  return setting.unit.empty() ? range : absl::StrCat(range, " ", setting.unit);
}

std::string TypeText(const Setting& setting) {
  if (Holds<bool>(setting)) return "";
  if (Holds<int32_t>(setting) || Holds<double>(setting)) return "NUMBER";
  if (Holds<int64_t>(setting)) return "SIZE";
  if (Holds<std::vector<HostSlots>>(setting)) return "HOSTS";
  if (Holds<std::vector<model::Layout>>(setting)) return "LAYOUTS";
  if (Holds<FailureLimit>(setting)) return "TIMES/MINUTES";
  return setting.choices.empty() ? "TEXT" : "CHOICE";
}

std::string VariableOf(absl::string_view name) {
  return absl::StrCat("DEEPRACK_", absl::AsciiStrToUpper(KeyOf(name)));
}

std::string KeyOf(absl::string_view name) { return absl::StrReplaceAll(name, {{"-", "_"}}); }

std::string FlagOf(SettingField field) {
  for (const Setting& setting : SettingTable()) {
    if (setting.field == field) return absl::StrCat("--", setting.name);
  }
  DR_CHECK(false);
  return "";
}

}  // namespace deeprack
