#include "settings/resolve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace deeprack {
namespace {

using ::testing::HasSubstr;

Environment Variables(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional<std::string>(found->second);
  };
}

TEST(Settings, HttpThreadsFollowTheProcessorsUnlessTheyAreSet) {
  Settings settings;
  EXPECT_EQ(settings.http_threads_on(1), 2);
  EXPECT_EQ(settings.http_threads_on(64), 8);
  EXPECT_EQ(settings.http_threads_on(512), 16);
  settings.http_threads = 1;
  EXPECT_EQ(settings.http_threads_on(512), 1);
}

TEST(ResolveSettings, AreTheDefaultsWhenNothingIsSaid) {
  const auto options = ResolveSettings(Program::kServe, {}, Variables({}), {"", ""});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->layout(), (model::Layout{.tp = 1, .dp = 1, .ep = 1, .pp = 1}));
  EXPECT_EQ(options->port, 8000);
  EXPECT_EQ(options->compute, "bf16");
}

TEST(ResolveSettings, FlagsWinOverEnvironmentOverFile) {
  const std::string yaml = "tp: 2\ndp: 2\npp: 2\nmodel: /from/file\nmax_context: 100\n";
  const auto environment =
      Variables({{"DEEPRACK_TP", "4"}, {"DEEPRACK_DP", "4"}, {"DEEPRACK_MAX_CONTEXT", "200"}});
  const auto options = ResolveSettings(Program::kServe, {{"tp", "8"}}, environment, {yaml, "rack.yaml"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->tp, 8);
  EXPECT_EQ(options->dp, 4);
  EXPECT_EQ(options->pp, 2);
  EXPECT_EQ(options->max_context, 200);
  EXPECT_EQ(options->model, "/from/file");
  EXPECT_EQ(options->layout().ep, 32) << "all of tp x dp";
}

TEST(ResolveSettings, SayWhichSettingIsWrongAndWhatWouldDo) {
  const auto flag = ResolveSettings(Program::kServe, {{"compute", "fp16"}}, Variables({}), {"", ""});
  EXPECT_EQ(flag.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(flag.status().message(), "--compute: 'fp16' must be one of bf16, f32");
  const auto variable =
      ResolveSettings(Program::kServe, {}, Variables({{"DEEPRACK_PORT", "65536"}}), {"", ""});
  EXPECT_EQ(variable.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(variable.status().message(), "DEEPRACK_PORT: '65536' must be a whole number from 0 to 65535");
  const auto file = ResolveSettings(Program::kServe, {}, Variables({}), {"tp: many", "rack.yaml"});
  EXPECT_EQ(file.status().message(), "rack.yaml: tp: 'many' must be a whole number from 1 to 4096");
}

TEST(ResolveSettings, RefuseAnUnknownKeyByName) {
  const auto options = ResolveSettings(Program::kServe, {}, Variables({}), {"tpp: 2", "rack.yaml"});
  EXPECT_EQ(options.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(options.status().message(), "rack.yaml: line 1: unknown setting \"tpp\"; did you mean 'tp'?");
  const auto message = [](const std::string& yaml) {
    return std::string(
        ResolveSettings(Program::kServe, {}, Variables({}), {yaml, "rack.yaml"}).status().message());
  };
  EXPECT_EQ(message("tp: 2\n\nmax-contxt: 2\n"),
            "rack.yaml: line 3: unknown setting \"max-contxt\"; did you mean 'max_context'?");
  EXPECT_THAT(
      message("colour: red"),
      HasSubstr(
          "line 1: unknown setting \"colour\"; known: model, tp, dp, ep, pp, layouts, compute, load_format"));
  EXPECT_THAT(message(std::string(1000, 'x') + ": 1"), HasSubstr("; known: model, "));
}

TEST(ResolveSettings, RefuseAKeyThatStandsTwice) {
  for (const Program program : {Program::kServe, Program::kCoordinator, Program::kWorker}) {
    const auto twice =
        ResolveSettings(program, {}, Variables({}), {"max_context: 1\ntp: 2\nmax-context: 3\n", "rack.yaml"});
    EXPECT_EQ(twice.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(twice.status().message(),
              "rack.yaml: line 3: 'max_context' stands in line 1 already; remove one of the two lines");
  }
}

TEST(ResolveSettings, RefuseAFileThatIsNoMap) {
  for (const char* yaml : {"- a\n- b", "tp: [", "tp: {a: 1}", "? [a]\n: 1"}) {
    EXPECT_EQ(ResolveSettings(Program::kServe, {}, Variables({}), {yaml, "rack.yaml"}).status().code(),
              absl::StatusCode::kFailedPrecondition)
        << yaml;
  }
}

TEST(ResolveSettings, ReadHostsAsTextOrAsAList) {
  const std::vector<HostSlots> expected = {{"a", 2}, {"b", 1}};
  EXPECT_EQ(ResolveSettings(Program::kServe, {{"hosts", "a:2,b"}}, Variables({}), {"", ""})->hosts, expected);
  EXPECT_EQ(ResolveSettings(Program::kServe, {}, Variables({}), {"hosts: ['a:2', b]", "f"})->hosts, expected);
}

TEST(ResolveSettings, LayoutsDecideTheLayout) {
  const auto settings =
      ResolveSettings(Program::kServe, {{"layouts", "tp2dp2,tp2"}}, Variables({}), {"ep: 4", "f"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->layout(), (model::Layout{.tp = 2, .dp = 2, .ep = 4, .pp = 1}));
  EXPECT_EQ(settings->tp, 2);
  EXPECT_EQ(settings->layouts.back(), (model::Layout{.tp = 2, .dp = 1, .ep = 2, .pp = 1}));

  const auto two =
      ResolveSettings(Program::kServe, {{"layouts", "tp2dp2,tp2"}, {"tp", "4"}}, Variables({}), {"", ""});
  EXPECT_EQ(two.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(two.status().message(), HasSubstr("--tp 4 and the first of --layouts, tp=2 dp=2 ep=4 pp=1"));
}

TEST(ResolveSettings, OneFileServesAllPrograms) {
  const YamlFile file = {"tp: 2\nlisten: 127.0.0.1:7001\nworkers: external\n", "rack.yaml"};
  const auto coordinator = ResolveSettings(Program::kCoordinator, {}, Variables({}), file);
  ASSERT_TRUE(coordinator.ok()) << coordinator.status();
  EXPECT_EQ(coordinator->tp, 2);
  EXPECT_EQ(coordinator->listen, "") << "a worker's";
  const auto worker = ResolveSettings(Program::kWorker, {}, Variables({}), file);
  ASSERT_TRUE(worker.ok()) << worker.status();
  EXPECT_EQ(worker->listen, "127.0.0.1:7001");
  EXPECT_EQ(worker->tp, 1);
  const auto serve = ResolveSettings(Program::kServe, {}, Variables({}), file);
  ASSERT_TRUE(serve.ok()) << serve.status();
  EXPECT_EQ(serve->workers, "external");
  EXPECT_EQ(serve->listen, "") << "a worker's";
}

TEST(ResolveSettings, ProgramsStartedByHandLogMore) {
  EXPECT_EQ(ResolveSettings(Program::kServe, {}, Variables({}), {})->log_level, "warn");
  EXPECT_EQ(ResolveSettings(Program::kWorker, {}, Variables({}), {})->log_level, "info");
}

}  // namespace
}  // namespace deeprack
