#include "worker/device/huge_pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "worker/device/host_memory.h"

namespace deeprack::worker {
namespace {

using ::testing::HasSubstr;
using Bytes = std::span<const std::byte>;

constexpr int64_t kGiB = int64_t{1} << 30;

Bytes At(uint64_t address, size_t bytes) { return {reinterpret_cast<const std::byte*>(address), bytes}; }

TEST(HugePageSetting, IsTheOneInBrackets) {
  EXPECT_EQ(ParseHugePageSetting("always [madvise] never\n"), HugePageSetting::kMadvise);
  EXPECT_EQ(ParseHugePageSetting("[always] madvise never\n"), HugePageSetting::kAlways);
  EXPECT_EQ(ParseHugePageSetting("always madvise [never]\n"), HugePageSetting::kNever);
  EXPECT_EQ(ParseHugePageSetting("always madvise never"), HugePageSetting::kUnknown);
  EXPECT_EQ(ParseHugePageSetting("[inherit] always"), HugePageSetting::kUnknown);
  EXPECT_EQ(ParseHugePageSetting(""), HugePageSetting::kUnknown);
}

// /proc/self/smaps in the kernel's format: an anonymous mapping, a mapping beside it that is not ours, a
// file, and others.
constexpr char kSmaps[] =
    "7f0000000000-7f0040000000 rw-p 00000000 00:00 0 \n"
    "Size:            1048576 kB\n"
    "Rss:             1000000 kB\n"
    "AnonHugePages:    983040 kB\n"
    "FilePmdMapped:         0 kB\n"
    "THPeligible:           1\n"
    "VmFlags: rd wr mr mw me ac sd hg \n"
    "7f0050000000-7f0050200000 rw-p 00000000 00:00 0                          [stack]\n"
    "Rss:                2048 kB\n"
    "AnonHugePages:         0 kB\n"
    "VmFlags: rd wr mr mw me gd ac \n"
    "7f0060000000-7f0070000000 r--p 00001000 fe:01 1234567                    /packed/rank 0\n"
    "Rss:              262144 kB\n"
    "AnonHugePages:         0 kB\n"
    "VmFlags: rd mr mw me sd \n"
    "7f0080000000-7f0080400000 rw-p 00000000 00:00 0 \n"
    "Rss:                4096 kB\n"
    "AnonHugePages:      2048 kB\n"
    "VmFlags: rd wr mr mw me ac sd hg \n";

TEST(HugePages, AreCountedWhereTheMemoryIs) {
  const auto count = [](std::vector<Bytes> memory) {
    std::istringstream smaps(kSmaps);
    return CountPages(smaps, memory);
  };
  EXPECT_EQ(count({At(0x7f0000000000, kGiB)}), (PageUse{1000000 * 1024, 983040 * 1024, true}));
  // The kernel joins neighbouring mappings and splits mappings at policies. A mapping counts once, wherever
  // the memory overlaps it.
  EXPECT_EQ(count({At(0x7f0000001000, 4096), At(0x7f0000100000, 4096), At(0x7f0080000000, 4096)}),
            (PageUse{1004096 * 1024, 985088 * 1024, true}));
  EXPECT_EQ(count({At(0x7f0060000000, 4096)}), PageUse());  // a file's
  EXPECT_EQ(count({At(0x7f0040000000, 4096)}), PageUse());  // right behind
  EXPECT_EQ(count({At(0x7f0050000000, 4096)}), (PageUse{2048 * 1024, 0, false}));
  EXPECT_EQ(count({Bytes()}), PageUse());
}

TEST(HugePages, AreNotedWhereTheyAreMissing) {
  const PageUse good = {.resident_bytes = kGiB, .huge_bytes = kGiB - 4096};
  const PageUse bad = {.resident_bytes = kGiB, .huge_bytes = kGiB / 10};
  EXPECT_EQ(HugePageNote(HugePageSetting::kMadvise, good), "");
  EXPECT_EQ(HugePageNote(HugePageSetting::kAlways, good), "");
  EXPECT_EQ(HugePageNote(HugePageSetting::kUnknown, good), "");
  EXPECT_EQ(HugePageNote(HugePageSetting::kMadvise, PageUse()), "");  // nothing to judge by
  EXPECT_EQ(HugePageNote(HugePageSetting::kMadvise, {.resident_bytes = 1 << 20}), "");

  const std::string never = HugePageNote(HugePageSetting::kNever, PageUse());
  EXPECT_THAT(never, HasSubstr("says never"));
  EXPECT_THAT(never, HasSubstr("a fifth longer"));
  EXPECT_THAT(never, HasSubstr("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"));
  EXPECT_THAT(HugePageNote(HugePageSetting::kUnknown, {.asked = false}), HasSubstr("madvise was refused"));
  const std::string few = HugePageNote(HugePageSetting::kMadvise, bad);
  EXPECT_THAT(few, HasSubstr("102 of 1024 MiB"));
  EXPECT_THAT(few, HasSubstr("a fifth longer"));
  EXPECT_THAT(few, HasSubstr("compact_memory"));
  EXPECT_THAT(HugePageNote(HugePageSetting::kUnknown, bad), HasSubstr("echo madvise >"));
}

TEST(HugePages, OfThisProcessAreFound) {
  const int64_t bytes = 8 << 20;
  const absl::StatusOr<Memory> memory = MapHostMemory("a test", bytes);
  ASSERT_TRUE(memory.ok());
  std::memset(memory->data(), 1, static_cast<size_t>(bytes));
  const std::vector<Bytes> parts = {Bytes(memory->data(), static_cast<size_t>(bytes))};
  std::ifstream smaps("/proc/self/smaps");
  const PageUse use = CountPages(smaps, parts);
  EXPECT_GE(use.resident_bytes, bytes);
  EXPECT_LE(use.huge_bytes, use.resident_bytes);
}

}  // namespace
}  // namespace deeprack::worker
