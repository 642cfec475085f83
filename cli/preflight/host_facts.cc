#include "cli/preflight/host_facts.h"

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/control_group.h"
#include "cli/preflight/run_program.h"
#include "cli/serve/machine_check.h"
#include "proto/preflight.pb.h"

namespace deeprack::cli {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kCardsPatience = absl::Seconds(10);
constexpr int64_t kMebibyte = 1 << 20;

// "" when the file cannot be read.
std::string TextOfFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

int64_t LimitOf(int resource) {
  rlimit limit{};
  if (getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) return -1;
  if (limit.rlim_cur == RLIM_INFINITY) return std::numeric_limits<int64_t>::max();
  return static_cast<int64_t>(limit.rlim_cur);
}

// Free bytes of the file system that has, or would have, `path`; -1: unknown.
int64_t FreeDisk(const std::string& path) {
  fs::path at = path;
  std::error_code ignored;
  while (!fs::exists(at, ignored) && at.has_relative_path()) at = at.parent_path();
  struct statvfs info {};
  if (statvfs(at.c_str(), &info) != 0) return -1;
  return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
}

int64_t BytesOfFiles(const std::string& folder) {
  int64_t bytes = 0;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code no_size;
    const auto size = fs::is_regular_file(at->path(), no_size) ? fs::file_size(at->path(), no_size) : 0;
    if (!no_size) bytes += static_cast<int64_t>(size);
  }
  return bytes;
}

void DescribeTemporaryFolder(preflight::HostReport& report) {
  const std::string folder = FindTemporaryFolder().path;
  report.set_temporary_folder(folder);
  report.set_temporary_bytes(FreeDisk(folder));
  std::string file = folder + "/deeprack-preflight-XXXXXX";
  const int fd = mkstemp(file.data());
  if (fd < 0) {
    report.set_temporary_failure(std::strerror(errno));
    return;
  }
  close(fd);
  unlink(file.c_str());
}

void DescribeCards(preflight::HostReport& report) {
  const auto answer = RunProgram(
      {"nvidia-smi", "--query-gpu=index,name,memory.total,memory.free", "--format=csv,noheader,nounits"},
      kCardsPatience);
  if (absl::IsNotFound(answer.status())) return;  // a host without the driver has no cards
  if (!answer.ok()) {
    report.set_cards_failure(std::string(answer.status().message()));
  } else if (answer->exit_code != 0 || !ReadCards(answer->output, report)) {
    report.set_cards_failure(absl::StrCat("nvidia-smi ended with exit code ", answer->exit_code, ": ",
                                          answer->output.substr(0, 200)));
  }
}

}  // namespace

std::string ChosenWord(absl::string_view text) {
  const size_t open = text.find('['), close = text.find(']');
  if (open == absl::string_view::npos || close == absl::string_view::npos || close < open) return "";
  return std::string(text.substr(open + 1, close - open - 1));
}

bool ReadCards(absl::string_view lines, preflight::HostReport& report) {
  for (const absl::string_view line : absl::StrSplit(lines, '\n', absl::SkipWhitespace())) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, ',');
    int32_t number = 0;
    int64_t total = 0, free = 0;
    if (parts.size() != 4 || !absl::SimpleAtoi(parts[0], &number) || !absl::SimpleAtoi(parts[2], &total) ||
        !absl::SimpleAtoi(parts[3], &free))
      return false;
    if (total < 0 || free < 0 || std::max(total, free) > std::numeric_limits<int64_t>::max() / kMebibyte)
      return false;
    preflight::Card& card = *report.add_cards();
    card.set_number(number);
    card.set_name(std::string(absl::StripAsciiWhitespace(parts[1])));
    card.set_total_bytes(total * kMebibyte);
    card.set_free_bytes(free * kMebibyte);
  }
  return true;
}

void DescribeHost(const preflight::DescribeRequest& request, preflight::HostReport& report) {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) == 0) report.set_host_name(name);
  report.set_free_memory(AvailableMemory().value_or(-1));
  report.set_huge_pages(ChosenWord(TextOfFile("/sys/kernel/mm/transparent_hugepage/enabled")));
  report.set_open_files(LimitOf(RLIMIT_NOFILE));
  report.set_locked_bytes(LimitOf(RLIMIT_MEMLOCK));
  report.set_threads(LimitOf(RLIMIT_NPROC));
  DescribeTemporaryFolder(report);
  report.set_shared_bytes(FreeDisk("/dev/shm"));
  report.set_packed_bytes(request.packed().empty() ? -1 : FreeDisk(request.packed()));
  report.set_packed_present(request.packed().empty() ? 0 : BytesOfFiles(request.packed()));
  DescribeCards(report);
}

}  // namespace deeprack::cli
