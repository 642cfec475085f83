#include "worker/topology/machine_report.h"

#include <stdlib.h>

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/topology/nvml_cards.h"

namespace deeprack::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ReadCards, AsksTheLibraryThatIsLoadedAtRunTime) {
  const auto cards = ReadCards(FAKE_NVML);
  ASSERT_TRUE(cards.ok()) << cards.status();
  ASSERT_EQ(cards->size(), 4u);
  const CardReport& second = (*cards)[1];
  EXPECT_EQ(second.name, "NVIDIA H200");
  EXPECT_EQ(second.uuid, "GPU-1");
  EXPECT_EQ(second.bus, "0000fffe:18:00.0");
  EXPECT_EQ(second.memory_bytes, 1000);
  EXPECT_EQ(second.free_bytes, 800);
  EXPECT_EQ(second.numa_node, -1);
  std::vector<int32_t> groups;
  for (const CardReport& card : *cards) groups.push_back(card.link_group);
  EXPECT_THAT(groups, ElementsAre(0, 1, 0, 1));
  EXPECT_TRUE(ReadCards(FAKE_NVML).ok()) << "the library is started anew for each report";
}

TEST(ReadCards, SaysWhatIsMissing) {
  const absl::Status none = ReadCards("libno-such-library.so.1").status();
  EXPECT_TRUE(absl::IsNotFound(none));
  EXPECT_THAT(std::string(none.message()), HasSubstr("libno-such-library.so.1"));
  const absl::Status other = ReadCards("libc.so.6").status();
  EXPECT_EQ(other.message(), "libc.so.6 has no function nvmlInit_v2");
  setenv("FAKE_NVML_FAILS", "9", 1);
  const absl::Status fails = ReadCards(FAKE_NVML).status();
  unsetenv("FAKE_NVML_FAILS");
  EXPECT_EQ(fails.message(), "NVML, starting: Driver Not Loaded");
}

TEST(ReadMachineReport, IsOfThisMachine) {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string boot;
  ASSERT_TRUE(std::getline(file, boot));
  const MachineReport report = ReadMachineReport("");
  EXPECT_EQ(report.machine, boot);
  EXPECT_GE(report.numa_nodes, 1);
  EXPECT_GE(report.cores, report.numa_nodes);
  EXPECT_GT(report.available_bytes, 0);
  EXPECT_EQ(report.card, -1);
  EXPECT_THAT(report.addresses, testing::Not(testing::Contains("127.0.0.1")));
}

}  // namespace
}  // namespace deeprack::worker
