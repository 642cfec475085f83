#include "cli/serve/serve_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace deeprack::cli {
namespace {

using ::testing::HasSubstr;

Environment Variables(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional<std::string>(found->second);
  };
}

TEST(ServeOptions, AreTheDefaultsWhenNothingIsSaid) {
  const auto options = ResolveServeOptions({}, Variables({}), "", "");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->layout(), (model::Layout{.tp = 1, .dp = 1, .ep = 1, .pp = 1}));
  EXPECT_EQ(options->port, 8000);
  EXPECT_EQ(options->compute, "bf16");
}

TEST(ServeOptions, FlagsWinOverEnvironmentOverFile) {
  const std::string yaml = "tp: 2\ndp: 2\npp: 2\nmodel: /from/file\nmax_context: 100\n";
  const auto environment =
      Variables({{"DEEPRACK_TP", "4"}, {"DEEPRACK_DP", "4"}, {"DEEPRACK_MAX_CONTEXT", "200"}});
  const auto options = ResolveServeOptions({{"tp", "8"}}, environment, yaml, "rack.yaml");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->tp, 8);
  EXPECT_EQ(options->dp, 4);
  EXPECT_EQ(options->pp, 2);
  EXPECT_EQ(options->max_context, 200);
  EXPECT_EQ(options->model, "/from/file");
  EXPECT_EQ(options->layout().ep, 32) << "all of tp x dp";
}

TEST(ServeOptions, SayWhichSettingIsWrongAndWhatWouldDo) {
  const auto flag = ResolveServeOptions({{"compute", "fp16"}}, Variables({}), "", "");
  EXPECT_EQ(flag.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(flag.status().message(), "--compute: 'fp16' must be one of bf16, f32");
  const auto variable = ResolveServeOptions({}, Variables({{"DEEPRACK_PORT", "65536"}}), "", "");
  EXPECT_EQ(variable.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(variable.status().message(), "DEEPRACK_PORT: '65536' must be a whole number from 0 to 65535");
  const auto file = ResolveServeOptions({}, Variables({}), "tp: many", "rack.yaml");
  EXPECT_EQ(file.status().message(), "rack.yaml: tp: 'many' must be a whole number from 1 to 4096");
}

TEST(ServeOptions, RefuseAnUnknownKeyByName) {
  const auto options = ResolveServeOptions({}, Variables({}), "tpp: 2", "rack.yaml");
  EXPECT_EQ(options.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(options.status().message(),
              HasSubstr("rack.yaml: unknown setting 'tpp'; known: model, tp, dp"));
}

TEST(ServeOptions, RefuseAFileThatIsNoMap) {
  for (const char* yaml : {"- a\n- b", "tp: [", "tp: {a: 1}", "? [a]\n: 1"}) {
    EXPECT_EQ(ResolveServeOptions({}, Variables({}), yaml, "rack.yaml").status().code(),
              absl::StatusCode::kFailedPrecondition)
        << yaml;
  }
}

TEST(ServeOptions, ReadHostsAsTextOrAsAList) {
  const std::vector<HostSlots> expected = {{"a", 2}, {"b", 1}};
  EXPECT_EQ(ResolveServeOptions({{"hosts", "a:2,b"}}, Variables({}), "", "")->hosts, expected);
  EXPECT_EQ(ResolveServeOptions({}, Variables({}), "hosts: ['a:2', b]", "f")->hosts, expected);
}

TEST(ParseHosts, RefusesNonsense) {
  for (const char* text : {"", "a:0", "a:x", "a,,b", "-oProxyCommand=x", ":2"})
    EXPECT_FALSE(ParseHosts(text).ok()) << text;
}

}  // namespace
}  // namespace deeprack::cli
