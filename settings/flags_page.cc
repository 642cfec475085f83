#include "settings/flags_page.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "settings/resolve.h"
#include "settings/setting.h"

namespace deeprack {
namespace {

constexpr std::pair<Program, const char*> kPrograms[] = {
    {Program::kServe, "`deeprack`"}, {Program::kCoordinator, "coordinator"}, {Program::kWorker, "worker"}};

std::string Code(const std::string& text) { return absl::StrCat("`", text, "`"); }

std::string FlagText(const Setting& setting) {
  if (setting.is_positional()) return Code(absl::AsciiStrToUpper(setting.name));
  if (std::holds_alternative<bool Settings::*>(setting.field))
    return absl::StrCat("`--", setting.name, "`, `--no-", setting.name, "`");
  return absl::StrCat("`--", setting.name, " ", TypeText(setting), "`");
}

// The default of every program that takes the setting; where they differ, each with its program.
std::string DefaultText(const Setting& setting) {
  std::string first;
  std::vector<std::string> each;
  bool same = true;
  for (const auto& [program, name] : kPrograms) {
    if (!setting.taken_by(program)) continue;
    const std::string text = TextOf(setting, DefaultsOf(program));
    if (each.empty()) first = text;
    same = same && text == first;
    each.push_back(absl::StrCat(Code(text), " (", name, ")"));
  }
  if (!same) return absl::StrJoin(each, ", ");
  return first.empty() ? "none" : Code(first);
}

std::string ProgramsText(const Setting& setting) {
  std::vector<std::string> names;
  for (const auto& [program, name] : kPrograms) {
    if (setting.taken_by(program)) names.push_back(name);
  }
  if (setting.travels) names.push_back("ranks");
  return absl::StrJoin(names, ", ");
}

}  // namespace

std::string FlagsPage() {
  std::string page = absl::StrCat(
      "# Settings\n\n"
      "`build/bin/deeprack settings > docs/FLAGS.md` makes this page from `settings/setting_table.cc`; a "
      "test "
      "compares the two.\n\n"
      "A setting has a flag, a variable and a key in a YAML file. The file is named by `--config FILE` or `",
      kConfigVariable,
      "`. A flag wins over a variable, a variable over the file, the file over the default. One file may "
      "serve "
      "all three programs: each skips the settings of other programs.\n\n"
      "Programs: `deeprack` stands for the commands `serve`, `plan`, `pack`, `bench`, `load` and "
      "`perplexity`; "
      "`coordinator` for `deeprack-coordinator`, `worker` for `deeprack-worker`. `deeprack` hands its "
      "settings "
      "over to the programs that it starts. `ranks`: the coordinator tells the value to every rank when the "
      "model is loaded.\n");
  absl::string_view section;
  for (const Setting& setting : SettingTable()) {
    if (setting.section != section) {
      section = setting.section;
      absl::StrAppend(&page, "\n## ", section,
                      "\n\n| flag | variable | YAML key | default | values | programs | meaning |\n"
                      "|---|---|---|---|---|---|---|\n");
    }
    const std::string range = RangeText(setting);
    absl::StrAppend(&page, "| ", FlagText(setting), " | ", Code(VariableOf(setting.name)), " | ",
                    Code(KeyOf(setting.name)), " | ", DefaultText(setting), " | ",
                    range.empty() ? "any text" : range, " | ", ProgramsText(setting), " | ", setting.help,
                    " |\n");
  }
  return page;
}

}  // namespace deeprack
