#include "settings/hand_over.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "settings/command_line.h"
#include "settings/setting.h"

namespace deeprack {
namespace {

// Another value than the default's, as text.
std::string OtherValue(const Setting& setting) {
  Settings settings;
  for (const std::string text : {"true", "false", "1", "3", "4", "x:1", "7M", "tp1", "2/3"}) {
    if (SetFromText(setting, text, settings).ok() && !(settings == Settings())) return text;
  }
  for (const std::string& choice : setting.choices) {
    if (SetFromText(setting, choice, settings).ok() && !(settings == Settings())) return choice;
  }
  return "";
}

Settings ReadBack(Program program, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "program");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  Settings settings;
  EXPECT_EQ(
      ReadCommandLine(program, {"program", "", "1"}, static_cast<int>(argv.size()), argv.data(), settings),
      std::nullopt);
  return settings;
}

// What one program writes, the other reads: every setting, one by one.
TEST(ArgumentsFor, AreReadByTheProgramTheyAreFor) {
  for (const Program program : {Program::kCoordinator, Program::kWorker}) {
    for (const Setting& setting : SettingTable()) {
      if (!setting.taken_by(program)) continue;
      Settings settings = DefaultsOf(program);
      settings.model = "/model";
      settings.coordinator = "head:1";
      settings.ep = 1;  // as the layout tp1 says
      const std::string other = OtherValue(setting);
      ASSERT_NE(other, "") << setting.name;
      ASSERT_TRUE(SetFromText(setting, other, settings).ok()) << setting.name;
      const Settings read = ReadBack(program, ArgumentsFor(program, settings));
      EXPECT_EQ(TextOf(setting, read), TextOf(setting, settings)) << setting.name;
      EXPECT_EQ(ArgumentsFor(program, read), ArgumentsFor(program, settings)) << setting.name;
    }
  }
}

TEST(ArgumentsFor, LeavesDefaultsToTheProgram) {
  Settings settings = DefaultsOf(Program::kWorker);
  settings.coordinator = "head:1";
  EXPECT_THAT(ArgumentsFor(Program::kWorker, settings), testing::ElementsAre("--coordinator", "head:1"));
}

TEST(SettingVariables, AreAllThatProgramsRead) {
  EXPECT_THAT(SettingVariables(), testing::IsSupersetOf({"DEEPRACK_CONFIG", "DEEPRACK_MODEL", "DEEPRACK_TP",
                                                         "DEEPRACK_UNVERIFIED_KERNELS"}));
  EXPECT_EQ(SettingVariables().size(), SettingTable().size() + 1);
}

TEST(VariablesOfOthers, AreThoseThatAreSetAndNotTaken) {
  const Environment environment = [](const std::string& variable) -> std::optional<std::string> {
    if (variable == "DEEPRACK_CARD" || variable == "DEEPRACK_TP") return "1";
    if (variable == "DEEPRACK_LISTEN") return "";  // as unset
    return std::nullopt;
  };
  EXPECT_THAT(VariablesOfOthers(Program::kServe, environment), testing::ElementsAre("DEEPRACK_CARD"));
  EXPECT_THAT(VariablesOfOthers(Program::kWorker, environment), testing::ElementsAre("DEEPRACK_TP"));
}

}  // namespace
}  // namespace deeprack
