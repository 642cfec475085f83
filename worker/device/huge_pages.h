// Checks if the rank's memory is in huge pages, which MapHostMemory requests, and tells the user what to do
// if not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <istream>
#include <span>
#include <string>
#include <string_view>

namespace deeprack::worker {

// The value of /sys/kernel/mm/transparent_hugepage/enabled.
enum class HugePageSetting {
  kUnknown,  // no such file, or an unknown value
  kNever,
  kMadvise,  // huge pages for memory that requests them
  kAlways,
};

// `text`: the file's contents, a list of all settings with the present one in brackets.
HugePageSetting ParseHugePageSetting(std::string_view text);

struct PageUse {
  int64_t resident_bytes = 0;
  int64_t huge_bytes = 0;  // resident bytes in huge pages
  bool asked = true;       // false: the system did not record the request for huge pages (no flag "hg")

  friend bool operator==(const PageUse&, const PageUse&) = default;
};

// Sums `smaps` (/proc/self/smaps) over the anonymous mappings that overlap `memory`. Mappings of files do not
// count: their pages belong to the page cache.
PageUse CountPages(std::istream& smaps, std::span<const std::span<const std::byte>> memory);

// Resident bytes of this process's anonymous `memory`. 0: the system does not tell.
int64_t ResidentBytes(std::span<const std::span<const std::byte>> memory);

// One line for the log: what was found, what it costs, what to do. Empty: nothing to report.
std::string HugePageNote(HugePageSetting setting, const PageUse& pages);

// Checks this process's `memory`, which must have been written, and logs the note if there is one.
void LogHugePages(std::span<const std::span<const std::byte>> memory);

}  // namespace deeprack::worker
