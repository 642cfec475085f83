#include "base/control_group.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace deeprack {
namespace {

constexpr int kMostProcessors = 1 << 16;
constexpr size_t kMostFileBytes = 1 << 16;

// "" for a file that cannot be read.
std::string TextOf(const std::string& path) {
  std::ifstream file(path);
  std::string text(kMostFileBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return text;
}

std::optional<int64_t> NumberOf(absl::string_view text) {
  int64_t number = 0;
  if (!absl::SimpleAtoi(text, &number) || number < 0) return std::nullopt;
  return number;
}

// The folders of this process's group and of the groups above it. In a container, /proc may name the group
// as the machine sees it, and /sys may show only the container's own groups. A folder that does not exist
// limits nothing.
std::vector<std::string> GroupFolders(const std::string& root) {
  std::string path = "/";
  for (absl::string_view line : absl::StrSplit(TextOf(root + "/proc/self/cgroup"), '\n')) {
    if (absl::ConsumePrefix(&line, "0::")) path = std::string(line);  // the line of version 2
  }
  std::vector<std::string> folders;
  while (true) {
    folders.push_back(root + "/sys/fs/cgroup" + (path == "/" ? "" : path));
    if (path.empty() || path == "/") return folders;
    path.resize(path.rfind('/'));
    if (path.empty()) path = "/";
  }
}

template <class T>
void TakeLess(std::optional<T>& least, T value) {
  if (!least || value < *least) least = value;
}

// "200000 100000": 2 processors. "max 100000": no limit.
void ReadProcessors(const std::string& folder, ControlGroup& group) {
  const std::string text = TextOf(folder + "/cpu.max");
  const std::vector<absl::string_view> words =
      absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  if (words.size() != 2) return;
  const auto quota = NumberOf(words[0]), period = NumberOf(words[1]);
  if (quota && period && *period > 0)
    TakeLess(group.processors, static_cast<double>(*quota) / static_cast<double>(*period));
}

// Bytes of files in memory.stat.
int64_t FileBytes(const std::string& folder) {
  int64_t bytes = 0;
  for (absl::string_view line : absl::StrSplit(TextOf(folder + "/memory.stat"), '\n')) {
    if (!absl::ConsumePrefix(&line, "inactive_file ") && !absl::ConsumePrefix(&line, "active_file "))
      continue;
    bytes += NumberOf(line).value_or(0);
  }
  return bytes;
}

void ReadMemory(const std::string& folder, ControlGroup& group) {
  const auto most = NumberOf(absl::StripAsciiWhitespace(TextOf(folder + "/memory.max")));  // or "max"
  if (!most) return;
  const int64_t used = NumberOf(absl::StripAsciiWhitespace(TextOf(folder + "/memory.current"))).value_or(0) -
                       FileBytes(folder);
  TakeLess(group.free_bytes, std::clamp<int64_t>(*most - std::max<int64_t>(used, 0), 0, *most));
}

}  // namespace

ControlGroup ReadControlGroup(const std::string& root) {
  ControlGroup group;
  for (const std::string& folder : GroupFolders(root)) {
    ReadProcessors(folder, group);
    ReadMemory(folder, group);
  }
  return group;
}

std::optional<int64_t> AvailableMemory(const std::string& root) {
  std::optional<int64_t> least = ReadControlGroup(root).free_bytes;
  for (absl::string_view line : absl::StrSplit(TextOf(root + "/proc/meminfo"), '\n')) {
    if (!absl::ConsumePrefix(&line, "MemAvailable:") || !absl::ConsumeSuffix(&line, "kB")) continue;
    const auto kibibytes = NumberOf(line);
    if (kibibytes && *kibibytes <= std::numeric_limits<int64_t>::max() / 1024)
      TakeLess(least, *kibibytes * 1024);
  }
  return least;
}

int UsableProcessors(int allowed, const ControlGroup& group) {
  if (!group.processors) return std::max(1, allowed);
  return std::clamp(static_cast<int>(std::min<double>(*group.processors, kMostProcessors)), 1,
                    std::max(1, allowed));
}

std::vector<int> AllowedProcessors() {
  constexpr int kMostInMask = 1 << 20;
  std::vector<int> allowed;
  for (int capacity = CPU_SETSIZE; capacity <= kMostInMask; capacity *= 2) {
    cpu_set_t* set = CPU_ALLOC(capacity);
    const size_t size = CPU_ALLOC_SIZE(capacity);
    const bool fits = sched_getaffinity(0, size, set) == 0;  // fails where the machine has more
    for (int i = 0; fits && i < capacity; ++i) {
      if (CPU_ISSET_S(i, size, set)) allowed.push_back(i);
    }
    CPU_FREE(set);
    if (fits) break;
  }
  return allowed;
}

int AllowedProcessorCount() { return std::max(1, static_cast<int>(AllowedProcessors().size())); }

}  // namespace deeprack
