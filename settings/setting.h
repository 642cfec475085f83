// The description of one setting. The table of all descriptions is the only place that knows a setting's
// name: flags, DEEPRACK_* variables, YAML keys, help texts, the command lines that `deeprack serve` makes and
// docs/FLAGS.md are derived from it.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "settings/settings.h"

namespace deeprack {

// The field of Settings that holds the value. Its type decides how the value is written:
//   bool      true or false; as a flag also --name and --no-name
//   int32_t   a whole number from low to high
//   int64_t   a size in bytes of low or more (size_text.h)
//   double    a number from low to high
//   string    one of choices, or any text when there are none
//   hosts     host:ranks,host:ranks (host_slots.h)
//   layouts   tp8dp4,tp8dp2 (layout_list.h)
//   limit     times/minutes (failure_limit.h)
using SettingField =
    std::variant<bool Settings::*, int32_t Settings::*, int64_t Settings::*, double Settings::*,
                 std::string Settings::*, std::vector<HostSlots> Settings::*,
                 std::vector<model::Layout> Settings::*, FailureLimit Settings::*>;

struct Setting {
  absl::string_view name;  // words joined by dashes
  SettingField field;
  absl::string_view section;  // heading in help texts and docs/FLAGS.md
  uint8_t programs = 0;       // the sum of the Programs that take it
  uint8_t needed_by = 0;      // the sum of the Programs that do not start without it
  bool travels = false;       // the coordinator tells its value to every rank when the model is loaded
  bool always_said = false;   // in every command line made by `serve`, so that a process list shows it
  double low = 0, high = 0;   // of numbers
  absl::string_view unit;     // of numbers: "tokens", "seconds"
  std::vector<std::string> choices;
  absl::string_view help;  // sentences

  bool taken_by(Program program) const { return (programs & static_cast<uint8_t>(program)) != 0; }
  bool is_needed_by(Program program) const { return (needed_by & static_cast<uint8_t>(program)) != 0; }
  bool is_positional() const { return field == SettingField(&Settings::model); }
};

// All settings, those of a section one after the other.
const std::vector<Setting>& SettingTable();

// nullptr: no such name.
const Setting* FindSetting(absl::string_view name);

// Reads `text` into the setting's field. InvalidArgument says what the value must be, without the setting's
// name: "must be a whole number from 1 to 4096".
absl::Status SetFromText(const Setting& setting, absl::string_view text, Settings& settings);

// The field's value as SetFromText reads it.
std::string TextOf(const Setting& setting, const Settings& settings);

// Which values the setting takes, as help and docs/FLAGS.md say it: "1 to 4096 tokens", "auto, cpu, cuda"; ""
// for any text.
std::string RangeText(const Setting& setting);

// "NUMBER", "SIZE", "TEXT": for help texts. "" for bool.
std::string TypeText(const Setting& setting);

// The environment variable: DEEPRACK_ and the name in capitals, with underscores.
std::string VariableOf(absl::string_view name);
// The key in a YAML file: the name with underscores. Dashes are read as well.
std::string KeyOf(absl::string_view name);
// The flag of the setting that has this field: "--" and the name.
std::string FlagOf(SettingField field);

}  // namespace deeprack
