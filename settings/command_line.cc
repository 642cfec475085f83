#include "settings/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/exit_code.h"
#include "settings/setting.h"

namespace deeprack {
namespace {

constexpr size_t kNameColumn = 32;  // characters
constexpr size_t kHelpColumn = 76;  // characters

// Writes the names of a switch as "--name,--no-name"; CLI11 would add "{false}" to the second.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    return absl::StrReplaceAll(CLI::Formatter::make_option_name(option, is_positional), {{"{false}", ""}});
  }
};

// The help sentences, and a last line with default and range.
std::string HelpOf(const Setting& setting, Program program) {
  const std::string text = TextOf(setting, DefaultsOf(program));
  const std::string range = RangeText(setting);
  std::string last;
  if (setting.is_needed_by(program)) {
    last = "Required.";
  } else if (!text.empty()) {
    last = absl::StrCat("Default: ", text, ".");
  }
  if (!range.empty() && !std::holds_alternative<bool Settings::*>(setting.field))
    absl::StrAppend(&last, last.empty() ? "" : " ", "Values: ", range, ".");
  return Wrapped(std::string(setting.help), kHelpColumn) + (last.empty() ? "" : "\n") +
         Wrapped(last, kHelpColumn);
}

void AddFlag(CLI::App& command, const Setting& setting, Program program, Flags& values) {
  const std::string name(setting.name);
  const std::string help = HelpOf(setting, program);
  CLI::Option* option = nullptr;
  if (std::holds_alternative<bool Settings::*>(setting.field)) {
    option = command.add_flag_function(
        absl::StrCat("--", name, ",!--no-", name),
        [&values, name](int64_t count) { values[name] = count > 0 ? "true" : "false"; }, help);
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // --x --no-x: the last one holds
  } else {
    option = command.add_option_function<std::string>(
        setting.is_positional() ? absl::AsciiStrToUpper(name) : absl::StrCat("--", name),
        [&values, name](const std::string& text) { values[name] = text; }, help);
    option->type_name(setting.is_positional() ? "" : TypeText(setting));
  }
  option->group(std::string(setting.section));
}

int Refused(const ProgramText& text, const std::string& message, ExitCode code) {
  std::fprintf(stderr, "%s: %s\n", text.name.c_str(), message.c_str());
  return static_cast<int>(code);
}

// The first setting that the program needs and that nobody gave.
const Setting* FindMissing(Program program, const Settings& settings) {
  for (const Setting& setting : SettingTable()) {
    if (setting.is_needed_by(program) && TextOf(setting, settings).empty()) return &setting;
  }
  return nullptr;
}

}  // namespace

std::string Wrapped(const std::string& text, size_t width) {
  std::string lines;
  size_t used = 0;
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    if (used > 0 && used + 1 + word.size() > width) {
      lines += '\n';
      used = 0;
    } else if (used > 0) {
      lines += ' ';
      ++used;
    }
    absl::StrAppend(&lines, word);
    used += word.size();
  }
  return lines;
}

void SetHelpLayout(CLI::App& app) {
  const auto formatter = std::make_shared<HelpFormatter>();
  formatter->column_width(kNameColumn);
  app.formatter(formatter);
}

void AddSettingFlags(CLI::App& command, Program program, GivenFlags& given) {
  command
      .add_option("--config", given.config,
                  "A YAML file of settings. Flags win over DEEPRACK_* variables, variables over\nthe file, "
                  "the file over the defaults.")
      ->type_name("FILE");
  for (const Setting& setting : SettingTable()) {
    if (setting.taken_by(program)) AddFlag(command, setting, program, given.values);
  }
}

std::optional<int> ReadCommandLine(Program program, const ProgramText& text, int argc, char** argv,
                                   Settings& settings) {
  CLI::App app(text.description, text.name);
  SetHelpLayout(app);
  app.set_version_flag("--version", absl::StrCat(text.name, " ", text.version));
  GivenFlags given;
  AddSettingFlags(app, program, given);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
  }
  absl::StatusOr<Settings> loaded = LoadSettings(program, given.values, given.config);
  if (!loaded.ok()) {
    const bool by_flag = absl::IsInvalidArgument(loaded.status());
    return Refused(text, std::string(loaded.status().message()),
                   by_flag ? ExitCode::kUsage : ExitCode::kConfiguration);
  }
  if (const Setting* missing = FindMissing(program, *loaded)) {
    return Refused(text,
                   absl::StrCat(missing->is_positional() ? absl::AsciiStrToUpper(missing->name)
                                                         : absl::StrCat("--", missing->name),
                                " is required. ", missing->help),
                   ExitCode::kUsage);
  }
  settings = *std::move(loaded);
  return std::nullopt;
}

}  // namespace deeprack
