#include "cli/serve/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_join.h"
#include "settings/hand_over.h"

namespace deeprack::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Commands, TheCoordinatorGetsTheWholeLayout) {
  Settings options;
  options.model = "/models/r1";
  options.tp = 4;
  options.pp = 2;
  const std::string line = absl::StrJoin(CoordinatorCommand("bin/deeprack-coordinator", options), " ");
  EXPECT_THAT(line, testing::StartsWith("bin/deeprack-coordinator /models/r1 --"));
  EXPECT_THAT(line, HasSubstr(" --host 127.0.0.1 --port 8000 --cluster-address 127.0.0.1:0"));
  EXPECT_THAT(line,
              HasSubstr("--tp 4 --dp 1 --ep 4 --pp 2 --compute bf16 --load-format auto --kv-cache-dtype auto "
                        "--expert-exchange replicated --prefill-attention expanded"));
  EXPECT_THAT(line, testing::Not(HasSubstr("--kv-bytes"))) << "what is not set is left to the coordinator";
}

TEST(Commands, RecoveryIsTheCoordinatorsDefaultUnlessItIsSaid) {
  Settings options;
  EXPECT_THAT(CoordinatorCommand("c", options), testing::Not(testing::Contains("--recovery-timeout")));
  options.recovery_timeout = 0;
  EXPECT_THAT(absl::StrJoin(CoordinatorCommand("c", options), " "), HasSubstr("--recovery-timeout 0"));
}

TEST(Commands, OneRankRunsWithoutMpi) {
  EXPECT_THAT(WorkersCommand("w", Settings(), {.http = 1, .cluster = 4242}, true),
              ElementsAre("w", "--coordinator", "127.0.0.1:4242", "--log-level", "warn"));
}

TEST(Commands, SeveralRanksRunUnderMpirun) {
  Settings options;
  options.tp = 2;
  options.threads = 3;
  EXPECT_THAT(WorkersCommand("w", options, {.http = 1, .cluster = 4242}, false),
              ElementsAre("mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2", "w", "--coordinator",
                          "127.0.0.1:4242", "--threads", "3", "--log-level", "warn"));
  EXPECT_THAT(WorkersCommand("w", options, {.http = 1, .cluster = 4242}, true),
              testing::Contains("--allow-run-as-root"));
}

TEST(Commands, WorkersChooseTheirBackendUnlessItIsSaid) {
  Settings options;
  const CoordinatorPorts ports = {.http = 1, .cluster = 4242};
  EXPECT_THAT(WorkersCommand("w", options, ports, false), testing::Not(testing::Contains("--backend")));
  options.backend = "cuda";
  EXPECT_THAT(absl::StrJoin(WorkersCommand("w", options, ports, false), " "), HasSubstr("--backend cuda"));
  EXPECT_THAT(absl::StrJoin(ExternalWorkerCommand(options, ports), " "), HasSubstr("--backend cuda"));
}

TEST(Commands, OtherMachinesAreNamedToMpirun) {
  Settings options;
  options.tp = 4;
  options.hosts = {{"a", 2}, {"b", 2}};
  options.cluster_address = "head:0";
  const std::string line =
      absl::StrJoin(WorkersCommand("w", options, {.http = 1, .cluster = 4242}, false), " ");
  EXPECT_THAT(line, HasSubstr("-n 4 --host a:2,b:2 env -u DEEPRACK_CONFIG -u "));
  EXPECT_THAT(line, HasSubstr(" w --coordinator head:4242"));
  // What the other machine's login sets does not reach the rank.
  for (const std::string& variable : SettingVariables())
    EXPECT_THAT(line, HasSubstr(" -u " + variable + " "));
}

TEST(Commands, AHostThatMpirunCannotReachIsAskedFor) {
  const std::vector<HostSlots> hosts = {{"node1", 1}, {"node9", 1}};
  EXPECT_EQ(
      LauncherHint(hosts, 255),
      "; does mpirun reach every host (node1, node9)? Try `ssh node9 true` and the same for each host, or "
      "run `deeprack preflight` with these settings");
  EXPECT_EQ(LauncherHint(hosts, 65), "") << "a rank's own code";
  EXPECT_EQ(LauncherHint(hosts, 137), "") << "a signal";
  EXPECT_EQ(LauncherHint({}, 255), "");
}

TEST(Commands, CertificatesReachEveryProcess) {
  Settings options;
  options.cluster_address = "head:0";
  EXPECT_THAT(CoordinatorCommand("c", options), testing::Not(testing::Contains("--cluster-tls")));
  options.cluster_tls = "/tls";
  const CoordinatorPorts ports = {.http = 1, .cluster = 4242};
  EXPECT_THAT(absl::StrJoin(CoordinatorCommand("c", options), " "), HasSubstr("--cluster-tls /tls"));
  EXPECT_THAT(absl::StrJoin(WorkersCommand("w", options, ports, false), " "),
              HasSubstr("--cluster-tls /tls"));
  EXPECT_THAT(ExternalWorkerCommand(options, ports),
              ElementsAre("deeprack-worker", "--coordinator", "head:4242", "--cluster-tls", "/tls"));
}

TEST(Commands, PackedWeightsAreTheRanksBusiness) {
  Settings options;
  const CoordinatorPorts ports = {.http = 1, .cluster = 4242};
  options.packed_check = "full";
  EXPECT_THAT(WorkersCommand("w", options, ports, false), testing::Not(testing::Contains("--packed-check")));
  options.packed = "/packed";
  EXPECT_THAT(absl::StrJoin(WorkersCommand("w", options, ports, false), " "),
              HasSubstr("--packed /packed --packed-check full"));
  EXPECT_THAT(absl::StrJoin(ExternalWorkerCommand(options, ports), " "),
              HasSubstr("--packed /packed --packed-check full"));
  EXPECT_THAT(CoordinatorCommand("c", options), testing::Not(testing::Contains("--packed")));
}

TEST(Commands, KernelsAndBindingReachTheRanks) {
  Settings settings;
  settings.bind_threads = false;
  settings.decode_graphs = settings.unverified_kernels = true;
  const CoordinatorPorts ports = {.http = 1, .cluster = 4242};
  for (const auto& command :
       {WorkersCommand("w", settings, ports, false), ExternalWorkerCommand(settings, ports)}) {
    EXPECT_THAT(command,
                testing::IsSupersetOf({"--no-bind-threads", "--decode-graphs", "--unverified-kernels"}));
  }
  EXPECT_EQ(CoordinatorCommand("c", settings), CoordinatorCommand("c", Settings()));
}

TEST(Commands, TheHttpServersSettingsReachTheCoordinator) {
  Settings settings;
  settings.http_threads = 4;
  settings.max_connections = 10;
  settings.keep_alive_seconds = 2.5;
  settings.generation_config = false;
  settings.collective_timeout = 5;
  const std::string line = absl::StrJoin(CoordinatorCommand("c", settings), " ");
  EXPECT_THAT(line, HasSubstr("--http-threads 4 --max-connections 10 --keep-alive-seconds 2.5"));
  EXPECT_THAT(line, HasSubstr("--no-generation-config"));
  EXPECT_THAT(line, HasSubstr("--collective-timeout 5"));
}

TEST(Commands, AnIpv6ClusterAddressKeepsItsBrackets) {
  Settings options;
  options.cluster_address = "[::1]:0";
  EXPECT_EQ(CoordinatorAddress(options, {.http = 1, .cluster = 99}), "[::1]:99");
}

}  // namespace
}  // namespace deeprack::cli
