#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "settings/setting.h"

namespace deeprack {
namespace {

constexpr Program kPrograms[] = {Program::kServe, Program::kCoordinator, Program::kWorker};

TEST(SettingTable, DescribesEachNameAndFieldOnce) {
  std::set<std::string> names;
  for (const Setting& setting : SettingTable()) {
    EXPECT_TRUE(names.insert(std::string(setting.name)).second) << setting.name;
    EXPECT_EQ(FlagOf(setting.field), absl::StrCat("--", setting.name)) << "two rows for one field";
    EXPECT_EQ(FindSetting(setting.name), &setting);
  }
  EXPECT_EQ(FindSetting("no-such-setting"), nullptr);
}

TEST(SettingTable, AcceptsItsOwnDefaults) {
  for (const Program program : kPrograms) {
    for (const Setting& setting : SettingTable()) {
      const Settings defaults = DefaultsOf(program);
      const std::string text = TextOf(setting, defaults);
      if (text.empty()) continue;
      Settings read = defaults;
      EXPECT_TRUE(SetFromText(setting, text, read).ok()) << setting.name << ": " << text;
      EXPECT_EQ(read, defaults) << setting.name;
    }
  }
}

TEST(SettingTable, HelpIsSentencesAndSectionsAreWhole) {
  std::set<absl::string_view> sections;
  absl::string_view section;
  for (const Setting& setting : SettingTable()) {
    EXPECT_TRUE(absl::EndsWith(setting.help, ".")) << setting.name;
    EXPECT_EQ(setting.help.find('|'), absl::string_view::npos) << "a cell of a table";
    EXPECT_NE(setting.programs, 0) << setting.name;
    if (setting.section == section) continue;
    section = setting.section;
    EXPECT_TRUE(sections.insert(section).second) << section << " is in two places";
  }
}

TEST(SettingTable, RefusesWhatIsOutOfRange) {
  const auto message = [](absl::string_view name, absl::string_view text) {
    Settings settings;
    const absl::Status status = SetFromText(*FindSetting(name), text, settings);
    EXPECT_EQ(settings, Settings()) << "a refused value changes nothing";
    return std::string(status.message());
  };
  EXPECT_EQ(message("max-step-tokens", "0"), "must be a whole number from 1 to 1048576");
  EXPECT_EQ(message("max-step-tokens", "1.5"), "must be a whole number from 1 to 1048576");
  EXPECT_EQ(message("worker-timeout", "nan"), "must be a number of seconds from 0.1 to 86400");
  EXPECT_EQ(message("bind-threads", "maybe"), "must be true or false");
  EXPECT_THAT(message("kv-bytes", "64MB"), testing::HasSubstr("K, M, G or T (powers of 1024), such as 64M"));
}

TEST(SettingTable, SizesTakeUnits) {
  Settings settings;
  ASSERT_TRUE(SetFromText(*FindSetting("kv-bytes"), "64M", settings).ok());
  EXPECT_EQ(settings.kv_bytes, int64_t{64} << 20);
}

}  // namespace
}  // namespace deeprack
