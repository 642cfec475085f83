#include "cli/preflight/ports.h"

#include <filesystem>
#include <fstream>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace deeprack::cli {
namespace {

namespace fs = std::filesystem;

constexpr absl::string_view kListening = "0A";  // the state in /proc/net/tcp

// The inodes of sockets that listen at `port`, as /proc names them: "socket:[123]".
std::set<std::string> SocketsAt(uint16_t port) {
  std::set<std::string> sockets;
  const std::string suffix = absl::StrFormat(":%04X", port);
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file(table);
    for (std::string line; std::getline(file, line);) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      if (words.size() > 9 && absl::EndsWith(words[1], suffix) && words[3] == kListening)
        sockets.insert(absl::StrCat("socket:[", words[9], "]"));
    }
  }
  return sockets;
}

bool Holds(const fs::path& process, const std::set<std::string>& sockets) {
  std::error_code error;
  for (fs::directory_iterator at(process / "fd", error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (sockets.contains(fs::read_symlink(at->path(), ignored).string())) return true;
  }
  return false;
}

}  // namespace

std::string HolderOf(uint16_t port) {
  const std::set<std::string> sockets = SocketsAt(port);
  std::error_code error;
  for (fs::directory_iterator at("/proc", error), end; !error && at != end; at.increment(error)) {
    const std::string pid = at->path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos || !Holds(at->path(), sockets)) continue;
    std::error_code ignored;
    const std::string program = fs::read_symlink(at->path() / "exe", ignored).filename().string();
    return absl::StrCat(program, " (pid ", pid, ")");
  }
  return "";
}

Finding JudgePort(const std::string& subject, bool in_use, const std::string& holder,
                  const std::string& failure) {
  Finding finding{.check = "port", .subject = subject, .found = "free"};
  if (in_use && absl::StartsWith(holder, "deeprack-coordinator ")) {
    finding.verdict = Verdict::kWarning;
    finding.found = absl::StrCat("held by ", holder);
    finding.remedy = "a server runs already: stop it before another starts";
  } else if (in_use) {
    finding.verdict = Verdict::kFail;
    finding.found = absl::StrCat("held by ", holder.empty() ? "another program" : holder);
    finding.remedy = "end that program, or name another port";
  } else if (!failure.empty()) {
    finding.verdict = Verdict::kFail;
    finding.found = failure;
    finding.remedy = "name an address of this machine";
  }
  return finding;
}

}  // namespace deeprack::cli
