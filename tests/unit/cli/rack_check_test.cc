// The decisions of `deeprack preflight`: what the facts of a rack mean, and how they are read.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/control_group.h"
#include "cli/preflight/agent_launch.h"
#include "cli/preflight/host_facts.h"
#include "cli/preflight/judges.h"
#include "cli/preflight/model_digest.h"
#include "cli/preflight/nccl_test.h"
#include "cli/preflight/ports.h"
#include "cli/preflight/rack_needs.h"
#include "cli/preflight/report.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/preflight.pb.h"

namespace deeprack::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kGibibyte = int64_t{1} << 30;

preflight::Rack RackOf(int hosts) {
  preflight::Rack rack;
  for (int i = 0; i < hosts; ++i) {
    preflight::Host& host = *rack.add_hosts();
    host.set_name("node" + std::to_string(i + 1));
    host.set_address("10.0.0." + std::to_string(i + 1) + ":4000");
    host.mutable_report()->set_free_memory(100 * kGibibyte);
    host.mutable_report()->set_packed_bytes(-1);
    host.mutable_report()->set_temporary_bytes(kGibibyte);
    host.mutable_report()->set_shared_bytes(kGibibyte);
    host.mutable_report()->set_open_files(1 << 20);
    host.mutable_report()->set_locked_bytes(INT64_MAX);
    host.mutable_report()->set_threads(1 << 20);
    host.mutable_report()->set_version("1.2.3");
    host.mutable_report()->set_worker_version("1.2.3");
    host.mutable_control()->set_up_bytes_per_second(1e9);
    host.mutable_control()->set_down_bytes_per_second(1e9);
  }
  return rack;
}

// All ordered pairs, with 1 GB/s and 50 us.
preflight::Rack LinkedRack(int hosts) {
  preflight::Rack rack = RackOf(hosts);
  for (int from = 0; from < hosts; ++from) {
    for (int to = 0; to < hosts; ++to) {
      if (from == to) continue;
      preflight::Link& link = *rack.add_links();
      link.set_from(from);
      link.set_to(to);
      link.mutable_figures()->set_bytes_per_second(1e9);
      link.mutable_figures()->set_round_trip_seconds(50e-6);
    }
  }
  return rack;
}

preflight::Link& LinkOf(preflight::Rack& rack, int from, int to) {
  for (preflight::Link& link : *rack.mutable_links()) {
    if (link.from() == from && link.to() == to) return link;
  }
  ADD_FAILURE() << "no link";
  return *rack.add_links();
}

Findings With(const Findings& findings, Verdict verdict) {
  Findings some;
  for (const Finding& finding : findings) {
    if (finding.verdict == verdict) some.push_back(finding);
  }
  return some;
}

void SetFile(google::protobuf::RepeatedPtrField<preflight::ModelFile>& files, const std::string& name,
             int64_t bytes, const std::string& digest) {
  preflight::ModelFile& file = *files.Add();
  file.set_name(name);
  file.set_bytes(bytes);
  file.set_digest(digest);
}

TEST(JudgeLinks, NamesTheOneLinkBelowHalfOfTheUsualRate) {
  preflight::Rack rack = LinkedRack(3);
  LinkOf(rack, 1, 2).mutable_figures()->set_bytes_per_second(0.49e9);
  LinkOf(rack, 2, 1).mutable_figures()->set_bytes_per_second(0.51e9);
  const Findings findings = JudgeLinks(rack, {});
  EXPECT_EQ(findings.size(), 6);
  const Findings failed = With(findings, Verdict::kFail);
  ASSERT_EQ(failed.size(), 1);
  EXPECT_EQ(failed[0].subject, "node2 -> node3");
  EXPECT_EQ(failed[0].found, "50 us, 490.0 MB/s, 49 % of the usual 1.0 GB/s");
  EXPECT_THAT(failed[0].remedy, HasSubstr("only this way is slow"));
}

TEST(JudgeLinks, NamesTheHostFromWhichEveryLinkIsSlow) {
  preflight::Rack rack = LinkedRack(4);
  for (const int to : {0, 1, 3}) LinkOf(rack, 2, to).mutable_figures()->set_bytes_per_second(1e8);
  const Findings failed = With(JudgeLinks(rack, {}), Verdict::kFail);
  ASSERT_EQ(failed.size(), 3);
  for (const Finding& finding : failed)
    EXPECT_THAT(finding.remedy, HasSubstr("every link from node3 is slow"));
}

TEST(JudgeLinks, AHostWithMostLinksOfASmallRackIsNotTheMeasure) {
  preflight::Rack rack = LinkedRack(3);
  for (preflight::Link& link : *rack.mutable_links()) {
    if (link.from() == 1 || link.to() == 1)
      link.mutable_figures()->set_bytes_per_second(1e8);  // 4 of 6 links
  }
  const Findings failed = With(JudgeLinks(rack, {}), Verdict::kFail);
  ASSERT_EQ(failed.size(), 4);
  for (const Finding& finding : failed) EXPECT_THAT(finding.remedy, HasSubstr("node2 is slow"));
}

TEST(JudgeLinks, ObeysTheFloorWhenAllLinksAreEquallySlow) {
  const preflight::Rack rack = LinkedRack(2);
  EXPECT_THAT(With(JudgeLinks(rack, {.least_bandwidth = 1e9}), Verdict::kFail), IsEmpty());
  const Findings failed = With(JudgeLinks(rack, {.least_bandwidth = 2e9}), Verdict::kFail);
  ASSERT_EQ(failed.size(), 2);
  EXPECT_THAT(failed[0].found, HasSubstr("less than --least-bandwidth 2.0 GB/s"));
}

TEST(JudgeLinks, WarnsAboutALateRoundTripAndFailsABrokenLink) {
  preflight::Rack rack = LinkedRack(3);
  LinkOf(rack, 0, 1).mutable_figures()->set_round_trip_seconds(2e-3);
  LinkOf(rack, 1, 0).set_failure("10.0.0.1:5: connection refused");
  const Findings findings = JudgeLinks(rack, {});
  const Findings late = With(findings, Verdict::kWarning), broken = With(findings, Verdict::kFail);
  ASSERT_EQ(late.size(), 1);
  EXPECT_EQ(late[0].subject, "node1 -> node2");
  ASSERT_EQ(broken.size(), 1);
  EXPECT_EQ(broken[0].found, "10.0.0.1:5: connection refused");
}

TEST(JudgeLinks, LinksOfABigRackShareARow) {
  preflight::Rack rack = LinkedRack(8);
  LinkOf(rack, 3, 4).mutable_figures()->set_bytes_per_second(1e8);
  const Findings findings = JudgeLinks(rack, {});
  ASSERT_EQ(findings.size(), 2);
  EXPECT_EQ(findings[0].subject, "node4 -> node5");
  EXPECT_EQ(findings[1].subject, "55 links");
}

TEST(JudgeControl, LeavesTheCoordinatorsOwnHostOutOfTheMedian) {
  preflight::Rack rack = RackOf(3);
  rack.mutable_hosts(0)->mutable_control()->set_up_bytes_per_second(50e9);
  rack.mutable_hosts(0)->mutable_control()->set_down_bytes_per_second(50e9);
  const Findings findings = JudgeControl(rack, {}, "node1:7000", "10.0.0.1", "");
  EXPECT_EQ(findings.size(), 3);
  EXPECT_EQ(With(findings, Verdict::kOk).size(), 3);
}

TEST(JudgeControl, FailsAHostThatCannotReachTheCoordinator) {
  preflight::Rack rack = RackOf(2);
  rack.mutable_hosts(1)->set_control_failure("node1:7000: connection refused");
  rack.mutable_hosts(1)->set_http_failure("node1:8000: connection refused");
  const Findings findings = JudgeControl(rack, {}, "node1:7000", "10.0.0.1", "node1:8000");
  ASSERT_EQ(With(findings, Verdict::kFail).size(), 1);
  EXPECT_EQ(With(findings, Verdict::kFail)[0].subject, "node2 -> node1:7000");
  ASSERT_EQ(With(findings, Verdict::kWarning).size(), 1);
  EXPECT_EQ(With(findings, Verdict::kWarning)[0].check, "http port");
}

TEST(JudgeClocks, CountsTheErrorOfTheSample) {
  preflight::Rack rack = RackOf(3);
  rack.mutable_hosts(0)->set_clock_offset(-3);
  rack.mutable_hosts(1)->set_clock_offset(1.05);
  rack.mutable_hosts(1)->set_clock_error(0.1);
  rack.mutable_hosts(2)->set_clock_offset(0.9);
  const Findings failed = With(JudgeClocks(rack, {}), Verdict::kFail);
  ASSERT_EQ(failed.size(), 1);
  EXPECT_EQ(failed[0].subject, "node1");
  EXPECT_THAT(failed[0].found, HasSubstr("3.00 s behind"));
  EXPECT_EQ(With(JudgeClocks(rack, {.most_clock_skew = 0.5}), Verdict::kFail).size(), 3);
}

TEST(JudgeAgents, NamesOtherVersionsOfEitherProgram) {
  preflight::Rack rack = RackOf(4);
  rack.mutable_hosts(0)->mutable_report()->set_version("1.2.4");
  rack.mutable_hosts(1)->mutable_report()->set_worker_version("deeprack-worker 11.2.3");
  rack.mutable_hosts(2)->mutable_report()->set_worker_version("");
  rack.mutable_hosts(3)->mutable_report()->set_worker_version("deeprack-worker 1.2.3");
  const Findings failed = With(JudgeAgents(rack, "1.2.3"), Verdict::kFail);
  ASSERT_EQ(failed.size(), 3);
  EXPECT_EQ(failed[0].found, "deeprack 1.2.4; this machine has 1.2.3");
  EXPECT_THAT(failed[1].found, HasSubstr("deeprack-worker 11.2.3"));
  EXPECT_EQ(failed[2].found, "deeprack-worker does not run there");
}

TEST(JudgeAgents, TellsHowToStartAnAgentThatIsMissing) {
  preflight::Rack rack = RackOf(2);
  rack.mutable_hosts(0)->set_address("node1:7100");
  rack.mutable_hosts(0)->set_failure("node1:7100: connection refused: nothing listens there");
  rack.mutable_hosts(1)->set_failure("no answer within 5s");
  const Findings failed = With(JudgeAgents(rack, "1.2.3"), Verdict::kFail);
  ASSERT_EQ(failed.size(), 2);
  EXPECT_EQ(
      failed[0].remedy,
      "start `deeprack preflight-agent --listen node1:7100 --cluster-tls FOLDER` there, and read what it "
      "prints");
  EXPECT_THAT(failed[1].remedy, HasSubstr("ranks cannot run there"));
}

TEST(JudgeModel, MostMachinesAreRightAndTheCommandsMachineBreaksTies) {
  preflight::Rack rack = RackOf(3);
  SetFile(*rack.mutable_own_files(), "a.safetensors", 10, "old");
  for (preflight::Host& host : *rack.mutable_hosts())
    SetFile(*host.mutable_files(), "a.safetensors", 10, "new");
  rack.mutable_hosts(2)->mutable_files(0)->set_bytes(9);
  Findings failed = With(JudgeModel(rack), Verdict::kFail);
  ASSERT_EQ(failed.size(), 2);
  EXPECT_EQ(failed[0].subject, "this machine");
  EXPECT_THAT(failed[0].found, HasSubstr("a.safetensors has other bytes"));
  EXPECT_EQ(failed[1].subject, "node3");
  EXPECT_EQ(failed[1].found, "a.safetensors has 9 bytes; most machines have 10");

  rack.mutable_hosts()->DeleteSubrange(1, 2);
  failed = With(JudgeModel(rack), Verdict::kFail);
  ASSERT_EQ(failed.size(), 1);
  EXPECT_EQ(failed[0].subject, "node1");
}

TEST(JudgeModel, AMachineWithoutTheModelHasNoVote) {
  preflight::Rack rack = RackOf(2);
  SetFile(*rack.mutable_hosts(0)->mutable_files(), "config.json", 10, "x");
  rack.mutable_hosts(1)->set_files_failure("/m: No such file or directory");
  const Findings findings = JudgeModel(rack);
  ASSERT_EQ(findings.size(), 2);
  EXPECT_EQ(findings[0].subject, "node2");
  EXPECT_EQ(findings[0].verdict, Verdict::kFail);
  EXPECT_EQ(findings[1].subject, "node1");
  EXPECT_EQ(findings[1].verdict, Verdict::kOk);
}

TEST(JudgeModel, OnlyWarnsAboutFilesThatRanksDoNotRead) {
  preflight::Rack rack = RackOf(1);
  SetFile(*rack.mutable_own_files(), "tokenizer.json", 10, "x");
  SetFile(*rack.mutable_own_files(), "config.json", 10, "x");
  const Findings findings = JudgeModel(rack);
  ASSERT_EQ(With(findings, Verdict::kWarning).size(), 1);
  EXPECT_EQ(With(findings, Verdict::kWarning)[0].found, "tokenizer.json is missing");
  ASSERT_EQ(With(findings, Verdict::kFail).size(), 1);
  EXPECT_EQ(With(findings, Verdict::kFail)[0].found, "config.json is missing");
}

TEST(JudgeMemory, SumsTheRanksOfAHost) {
  preflight::Rack rack = RackOf(2);
  rack.mutable_hosts(0)->add_ranks(0);
  rack.mutable_hosts(0)->add_ranks(1);
  rack.mutable_hosts(1)->add_ranks(2);
  RackNeeds needs{.ranks = {3, {.fixed = 44 * kGibibyte, .cache = 2 * kGibibyte, .weights = 40 * kGibibyte}}};
  Findings failed = With(JudgeMemory(rack, needs), Verdict::kFail);
  ASSERT_EQ(failed.size(), 1);  // 92 GiB of the 90 that ranks may take
  EXPECT_EQ(failed[0].subject, "node1");
  EXPECT_THAT(failed[0].remedy, HasSubstr("2147483648 bytes (2.0 GiB) are missing"));
  needs.cache_given = true;
  EXPECT_THAT(With(JudgeMemory(rack, needs), Verdict::kFail), IsEmpty());
}

TEST(JudgeMemory, EachRankTakesACardInTurn) {
  preflight::Rack rack = RackOf(1);
  for (int card = 0; card < 2; ++card) {
    preflight::Card& one = *rack.mutable_hosts(0)->mutable_report()->add_cards();
    one.set_number(card);
    one.set_free_bytes((card == 0 ? 80 : 40) * kGibibyte);
    rack.mutable_hosts(0)->add_ranks(card);
  }
  const RackNeeds needs{.ranks = {2, {.fixed = 50 * kGibibyte}}, .on_cards = true};
  const Findings failed = With(JudgeMemory(rack, needs), Verdict::kFail);
  ASSERT_EQ(failed.size(), 1);
  EXPECT_EQ(failed[0].subject, "node1, card 1");
}

TEST(JudgeMachines, WarnsAboutLimitsAndFailsOnDisks) {
  preflight::Rack rack = RackOf(2);
  rack.mutable_hosts(0)->add_ranks(0);
  const RackNeeds needs{.ranks = {{.weights = 10 * kGibibyte}}, .packed = true};
  preflight::HostReport& report = *rack.mutable_hosts(0)->mutable_report();
  report.set_packed_bytes(4 * kGibibyte);
  report.set_packed_present(5 * kGibibyte);
  report.set_huge_pages("never");
  report.set_open_files(1024);
  Findings findings = JudgeMachines(rack, needs, 1024);
  ASSERT_EQ(With(findings, Verdict::kFail).size(), 1);
  EXPECT_THAT(With(findings, Verdict::kFail)[0].remedy, HasSubstr("1073741824 bytes"));
  EXPECT_EQ(With(findings, Verdict::kWarning).size(), 2);
  EXPECT_EQ(With(findings, Verdict::kOk).size(), 1);  // node2
  report.set_packed_present(7 * kGibibyte);
  report.set_temporary_failure("Permission denied");
  findings = JudgeMachines(rack, needs, 1024);
  ASSERT_EQ(With(findings, Verdict::kFail).size(), 1);
  EXPECT_THAT(With(findings, Verdict::kFail)[0].remedy, HasSubstr("TMPDIR"));
}

TEST(JudgeCards, NoCardsFailOnlyWhereRanksNeedThem) {
  preflight::Rack rack = RackOf(1);
  rack.mutable_hosts(0)->add_ranks(0);
  EXPECT_EQ(JudgeCards(rack, {})[0].found, "no cards");
  EXPECT_EQ(JudgeCards(rack, {})[0].verdict, Verdict::kOk);
  EXPECT_EQ(JudgeCards(rack, {.on_cards = true})[0].verdict, Verdict::kFail);
}

TEST(AssignRanks, ByHostsOrInEqualShares) {
  const auto ranks_of = [](const preflight::Rack& rack) {
    std::vector<int> counts;
    for (const preflight::Host& host : rack.hosts()) counts.push_back(host.ranks_size());
    return counts;
  };
  Settings settings;
  settings.tp = 4;
  preflight::Rack shared = RackOf(3);
  AssignRanks(settings, shared);
  EXPECT_THAT(ranks_of(shared), ElementsAre(2, 1, 1));
  settings.hosts = {{"node1", 1}, {"node3", 2}, {"node1", 1}};
  preflight::Rack named = RackOf(3);
  AssignRanks(settings, named);
  EXPECT_THAT(ranks_of(named), ElementsAre(2, 0, 2));
}

TEST(HostFacts, ReadsNvidiaSmiAndRefusesOtherLines) {
  preflight::HostReport report;
  ASSERT_TRUE(
      ReadCards("0, NVIDIA H100 80GB HBM3, 81559, 81000\n1, NVIDIA H100 80GB HBM3, 81559, 12\n", report));
  ASSERT_EQ(report.cards_size(), 2);
  EXPECT_EQ(report.cards(1).name(), "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(report.cards(1).free_bytes(), int64_t{12} << 20);
  for (const char* bad :
       {"No devices were found\n", "0, a, b, c\n", "0, H100, -1, 5\n", "0, H100, 9223372036854775807, 1\n"}) {
    preflight::HostReport other;
    EXPECT_FALSE(ReadCards(bad, other)) << bad;
  }
}

TEST(HostFacts, FreeMemoryIsWhatTheCgroupsLeave) {
  const fs::path root = fs::path(testing::TempDir()) / "preflight_root";
  fs::remove_all(root);
  const auto write = [&](const std::string& path, const std::string& text) {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  };
  EXPECT_EQ(AvailableMemory((root / "none").string()), std::nullopt);
  write("proc/meminfo", "MemTotal:  400 kB\nMemAvailable:     300 kB\n");
  EXPECT_EQ(AvailableMemory(root.string()), 300 * 1024);
  write("proc/self/cgroup", "0::/pod/box\n");
  write("sys/fs/cgroup/pod/box/memory.max", "max\n");
  write("sys/fs/cgroup/pod/box/memory.current", "1000\n");
  EXPECT_EQ(AvailableMemory(root.string()), 300 * 1024);
  write("sys/fs/cgroup/pod/memory.max", "5000\n");
  write("sys/fs/cgroup/pod/memory.current", "1000\n");
  EXPECT_EQ(AvailableMemory(root.string()), 4000);
  // A container sees its own limit at the top, and files that the system can drop are free.
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/memory.max", "9000\n");
  write("sys/fs/cgroup/memory.current", "8000\n");
  write("sys/fs/cgroup/memory.stat", "anon 2000\ninactive_file 6000\n");
  EXPECT_EQ(AvailableMemory(root.string()), 7000);
  EXPECT_EQ(ChosenWord("always [madvise] never\n"), "madvise");
  EXPECT_EQ(ChosenWord("1\n"), "");
}

TEST(ModelDigest, SamplesMissAByteThatTheFullDigestSees) {
  const fs::path folder = fs::path(testing::TempDir()) / "preflight_model";
  fs::create_directories(folder);
  const std::string name = "a.safetensors";
  std::string bytes(8 << 20, 'x');
  const auto digest = [&](bool full) {
    std::ofstream(folder / name, std::ios::binary) << bytes;
    return DigestModelFile(folder.string(), name, full).value();
  };
  const std::string samples = digest(false), full = digest(true);
  EXPECT_EQ(samples.size(), 32);
  bytes[(1 << 20) + 1000] ^= 1;  // after the head and before the first sample
  EXPECT_EQ(digest(false), samples);
  EXPECT_NE(digest(true), full);
  bytes.back() ^= 1;
  EXPECT_NE(digest(false), samples);
}

TEST(ModelDigest, ReadsOnlyFilesOfTheModel) {
  const fs::path folder = fs::path(testing::TempDir()) / "preflight_files";
  fs::create_directories(folder / "b.json");
  for (const char* name : {"w.safetensors", "config.json", "README.md"}) std::ofstream(folder / name) << "12";
  const auto files = ListModelFiles(folder.string());
  ASSERT_TRUE(files.ok());
  ASSERT_EQ(files->size(), 2);
  EXPECT_EQ((*files)[0].name, "config.json");
  EXPECT_EQ((*files)[1].bytes, 2);
  EXPECT_TRUE(absl::IsNotFound(DigestModelFile(folder.string(), "README.md", true).status()));
  EXPECT_TRUE(absl::IsNotFound(DigestModelFile(folder.string(), "../config.json", true).status()));
  EXPECT_TRUE(absl::IsUnavailable(DigestModelFile(folder.string(), "gone.json", true).status()));
  EXPECT_TRUE(absl::IsNotFound(ListModelFiles((folder / "none").string()).status()));
}

TEST(ModelDigest, AGgufIsAllFilesOfItsSplit) {
  const fs::path folder = fs::path(testing::TempDir()) / "preflight_gguf";
  fs::create_directories(folder);
  for (const char* name : {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "other.gguf", "config.json"})
    std::ofstream(folder / name) << "1";
  const auto files = ListModelFiles((folder / "m-00001-of-00002.gguf").string());
  ASSERT_TRUE(files.ok());
  ASSERT_EQ(files->size(), 2);
  EXPECT_EQ((*files)[1].name, "m-00002-of-00002.gguf");
}

TEST(Ports, ARunningServerIsAWarningAndAnotherProgramAFault) {
  EXPECT_EQ(JudgePort("a:1", false, "", "").verdict, Verdict::kOk);
  EXPECT_EQ(JudgePort("a:1", true, "deeprack-coordinator (pid 5)", "").verdict, Verdict::kWarning);
  EXPECT_EQ(JudgePort("a:1", true, "nginx (pid 5)", "").verdict, Verdict::kFail);
  EXPECT_EQ(JudgePort("a:1", true, "", "").found, "held by another program");
  EXPECT_EQ(JudgePort("a:1", false, "", "a:1: Cannot assign requested address").verdict, Verdict::kFail);
}

TEST(AgentCommand, GoesThroughMpirunWhereThereIsAHost) {
  EXPECT_THAT(
      AgentCommand("/opt/deeprack", "", "127.0.0.1:1", "", true),
      ElementsAre("/opt/deeprack", "preflight-agent", "--towards", "127.0.0.1:1", "--idle-seconds", "60"));
  EXPECT_THAT(AgentCommand("/opt/deeprack", "node2", "node1:7000", "/tls", true),
              ElementsAre("mpirun", "--bind-to", "none", "-n", "1", "--allow-run-as-root", "-H", "node2:1",
                          "/opt/deeprack", "preflight-agent", "--towards", "node1:7000", "--idle-seconds",
                          "60", "--cluster-tls", "/tls"));
}

TEST(NcclTest, ReadsWhatAllReducePerfPrints) {
  const std::string good =
      "# nThread 1\n 67108864 ... 0\n# Out of bounds values : 0 OK\n# Avg bus bandwidth    : 312.4\n";
  EXPECT_EQ(JudgeNcclTest(0, good).found, "the sum is right; bus bandwidth 312.4 GB/s");
  EXPECT_EQ(JudgeNcclTest(0, good).verdict, Verdict::kOk);
  EXPECT_EQ(JudgeNcclTest(3, good).verdict, Verdict::kFail);
  EXPECT_EQ(JudgeNcclTest(0, "# Out of bounds values : 7 FAILED\n# Avg bus bandwidth : 1\n").verdict,
            Verdict::kFail);
  EXPECT_EQ(JudgeNcclTest(0, "").verdict, Verdict::kFail);
  EXPECT_THAT(NcclTestCommand({{"a", 8}, {"b", 8}}, 16, false),
              ElementsAre("mpirun", "--oversubscribe", "--bind-to", "none", "-n", "16", "-H", "a:8,b:8",
                          "all_reduce_perf", "-b", "64M", "-e", "64M", "-g", "1"));
}

TEST(Report, FitUnlessARowFails) {
  Findings findings = {{"link", "a -> b", Verdict::kOk, "fine", ""},
                       {"clock", "b", Verdict::kWarning, "late", "do"}};
  EXPECT_TRUE(IsFit(findings));
  EXPECT_EQ(ReportTable(findings, false),
            "ok       link   a -> b  fine\n"
            "warning  clock  b       late\n"
            "         do\n"
            "fit to serve: 2 rows, 0 failed, 1 with a warning\n");
  findings.push_back({"host", "c", Verdict::kFail, "gone\xff", "mend"});
  preflight::Rack rack = LinkedRack(2);
  rack.mutable_hosts(1)->set_failure("gone");
  const auto json = nlohmann::json::parse(ReportJson(findings, rack));
  EXPECT_EQ(json["fit"], false);
  EXPECT_EQ(json["findings"][2]["verdict"], "fail");
  EXPECT_EQ(json["hosts"][1]["failure"], "gone");
  EXPECT_EQ(json["links"][1]["from"], "node2");
  EXPECT_EQ(json["links"][1]["bytes_per_second"], 1e9);
}

}  // namespace
}  // namespace deeprack::cli
