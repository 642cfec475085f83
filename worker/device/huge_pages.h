// Whether the rank's memory lies in huge pages, as MapHostMemory asks the system for, and what to do where
// it does not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <istream>
#include <span>
#include <string>
#include <string_view>

namespace deeprack::worker {

// What /sys/kernel/mm/transparent_hugepage/enabled says.
enum class HugePageSetting {
  kUnknown,  // no such file, or words that this program does not know
  kNever,
  kMadvise,  // for memory that asks for them
  kAlways,
};

// `text` is the file's: all settings in a row, the one that holds in brackets.
HugePageSetting ParseHugePageSetting(std::string_view text);

struct PageUse {
  int64_t resident_bytes = 0;
  int64_t huge_bytes = 0;  // of the resident ones
  bool asked = true;       // the system has noted that huge pages are wanted (flag "hg"), wherever it says

  friend bool operator==(const PageUse&, const PageUse&) = default;
};

// Adds up what `smaps` (/proc/self/smaps) says of the anonymous mappings that begin or end in `memory`, or
// hold it. Files' mappings do not count: their pages are the page cache's.
PageUse CountPages(std::istream& smaps, std::span<const std::span<const std::byte>> memory);

// How much of this process's anonymous `memory` is there; 0 where the system does not say.
int64_t ResidentBytes(std::span<const std::span<const std::byte>> memory);

// One line for the log: what was found, what it costs, what to do. Empty where nothing is amiss.
std::string HugePageNote(HugePageSetting setting, const PageUse& pages);

// Looks at this process's `memory`, once it has been written to, and logs the note if there is one.
void LogHugePages(std::span<const std::span<const std::byte>> memory);

}  // namespace deeprack::worker
