#include "worker/device/huge_pages.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "spdlog/spdlog.h"

namespace deeprack::worker {
namespace {

constexpr char kSettingFile[] = "/sys/kernel/mm/transparent_hugepage/enabled";
// No check below this size: such memory is read from the caches, and its edges, which no huge page covers,
// are a large part.
constexpr int64_t kLeastBytesToJudge = int64_t{64} << 20;
// Measured with the R1 slice (docs/PERFORMANCE.md), decoding one sequence.
constexpr char kCost[] = "decoding takes about a fifth longer without them";

constexpr int64_t MiB(int64_t bytes) { return bytes >> 20; }

// The first line of a mapping: "7f00-7f80 rw-p 00000000 00:00 0    NAME".
struct Mapping {
  uint64_t begin = 0, end = 0;
  bool anonymous = false;
};

bool ParseMapping(const std::vector<std::string>& words, Mapping& mapping) {
  if (words.size() < 5) return false;
  const std::vector<std::string> range = absl::StrSplit(words[0], '-');
  if (range.size() != 2 || !absl::SimpleHexAtoi(range[0], &mapping.begin) ||
      !absl::SimpleHexAtoi(range[1], &mapping.end)) {
    return false;
  }
  mapping.anonymous = words[4] == "0";  // the inode
  return true;
}

bool Meets(const Mapping& mapping, std::span<const std::byte> memory) {
  const uint64_t begin = reinterpret_cast<uint64_t>(memory.data());
  return !memory.empty() && mapping.begin < begin + memory.size() && begin < mapping.end;
}

}  // namespace

HugePageSetting ParseHugePageSetting(std::string_view text) {
  const auto has = [text](std::string_view word) { return text.find(word) != std::string_view::npos; };
  if (has("[never]")) return HugePageSetting::kNever;
  if (has("[madvise]")) return HugePageSetting::kMadvise;
  if (has("[always]")) return HugePageSetting::kAlways;
  return HugePageSetting::kUnknown;
}

PageUse CountPages(std::istream& smaps, std::span<const std::span<const std::byte>> memory) {
  PageUse use;
  bool counts = false;
  std::string line;
  while (std::getline(smaps, line)) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    Mapping mapping;
    int64_t kibibytes = 0;
    if (ParseMapping(words, mapping)) {
      counts = mapping.anonymous &&
               std::any_of(memory.begin(), memory.end(), [&](auto part) { return Meets(mapping, part); });
    } else if (!counts || words.size() < 2) {
      continue;
    } else if (words[0] == "VmFlags:") {
      use.asked = use.asked && std::find(words.begin(), words.end(), "hg") != words.end();
    } else if (absl::SimpleAtoi(words[1], &kibibytes)) {
      if (words[0] == "Rss:") use.resident_bytes += kibibytes * 1024;
      if (words[0] == "AnonHugePages:") use.huge_bytes += kibibytes * 1024;
    }
  }
  return use;
}

std::string HugePageNote(HugePageSetting setting, const PageUse& pages) {
  if (setting == HugePageSetting::kNever) {
    return absl::StrCat("no huge pages: ", kSettingFile, " says never; ", kCost, "; as root, echo madvise > ",
                        kSettingFile, ", and start again");
  }
  if (!pages.asked) {
    return absl::StrCat("no huge pages: the kernel does not know them (madvise was refused); ", kCost,
                        "; use a kernel with transparent huge pages");
  }
  if (pages.resident_bytes < kLeastBytesToJudge || pages.huge_bytes >= pages.resident_bytes / 2) return "";
  const std::string found =
      absl::StrCat("few huge pages: ", MiB(pages.huge_bytes), " of ", MiB(pages.resident_bytes),
                   " MiB of weights, cache and workspace are in them; ", kCost, "; ");
  if (setting == HugePageSetting::kUnknown) {
    return absl::StrCat(found, "as root on the host, echo madvise > ", kSettingFile, ", and start again");
  }
  return absl::StrCat(found, kSettingFile, " allows them, so free memory is fragmented (as root, echo 1 > ",
                      "/proc/sys/vm/compact_memory, and start again) or the launcher forbids them ",
                      "(THP_enabled in /proc/self/status)");
}

int64_t ResidentBytes(std::span<const std::span<const std::byte>> memory) {
  std::ifstream smaps("/proc/self/smaps");
  return CountPages(smaps, memory).resident_bytes;
}

void LogHugePages(std::span<const std::span<const std::byte>> memory) {
  std::ifstream setting(kSettingFile);
  const std::string text((std::istreambuf_iterator<char>(setting)), std::istreambuf_iterator<char>());
  std::ifstream smaps("/proc/self/smaps");
  const PageUse pages = CountPages(smaps, memory);
  const std::string note = HugePageNote(ParseHugePageSetting(text), pages);
  if (note.empty()) {
    spdlog::debug("{} of {} MiB of weights, cache and workspace are in huge pages", MiB(pages.huge_bytes),
                  MiB(pages.resident_bytes));
  } else if (pages.resident_bytes < kLeastBytesToJudge) {
    spdlog::info("{}", note);  // info, not warning: a small model is hardly slower
  } else {
    spdlog::warn("{}", note);
  }
}

}  // namespace deeprack::worker
