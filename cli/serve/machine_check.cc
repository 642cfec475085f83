#include "cli/serve/machine_check.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/control_group.h"
#include "base/process_limits.h"
#include "base/status_macros.h"

namespace deeprack::cli {
namespace {

constexpr int kThreadsOfMpirun = 8;
constexpr int kFiles = 64;  // of `deeprack` and of mpirun
constexpr char kSharedMemory[] = "/dev/shm";
// OpenMPI's shared file of one rank: 4 MiB and a few bytes.
constexpr int64_t kSharedBytesOfRank = (4 << 20) + (64 << 10);

bool StartsRanks(const Settings& settings) { return settings.workers == "local"; }

bool UsesMpirun(const Settings& settings) {
  return StartsRanks(settings) && (settings.layout().world_size() > 1 || !settings.hosts.empty());
}

// All ranks, or none when other machines take part: which of the hosts is this machine is not known here.
int RanksHere(const Settings& settings) {
  return StartsRanks(settings) && settings.hosts.empty() ? settings.layout().world_size() : 0;
}

int ThreadsHere(const Settings& settings) {
  const int ranks = RanksHere(settings);
  const int computing = settings.threads > 0
                            ? settings.threads * ranks
                            : std::max(ranks, UsableProcessors(AllowedProcessorCount(), ReadControlGroup()));
  return settings.http_threads_on(AllowedProcessorCount()) + RpcThreads() + ranks * RpcThreads() +
         (ranks > 0 ? computing : 0) + (UsesMpirun(settings) ? kThreadsOfMpirun : 0);
}

}  // namespace

TemporaryFolder FindTemporaryFolder() {
  for (const char* variable : {"TMPDIR", "TEMP", "TMP"}) {
    if (const char* folder = std::getenv(variable); folder != nullptr && *folder != '\0')
      return {.path = folder, .name = absl::StrCat("$", variable)};
  }
  return {.path = "/tmp", .name = "TMPDIR is not set"};
}

absl::Status CheckTemporaryFolder(const std::string& folder, const std::string& name) {
  std::string path = folder + "/deeprack-XXXXXX";
  if (mkdtemp(path.data()) != nullptr) {
    rmdir(path.c_str());
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      folder, " (", name, "): mpirun keeps its session's files there, and nothing can be written there (",
      std::strerror(errno), "); set TMPDIR to a folder that this user can write"));
}

absl::Status CheckMachine(const Settings& settings) {
  DR_RETURN_IF_ERROR(CheckProcessLimits(
      "this server", {.threads = ThreadsHere(settings), .own_threads = false, .files = kFiles}));
  if (!UsesMpirun(settings)) return absl::OkStatus();
  const TemporaryFolder folder = FindTemporaryFolder();
  return CheckTemporaryFolder(folder.path, folder.name);
}

std::string ShortSharedMemory(const Settings& settings) {
  const int64_t needed = kSharedBytesOfRank * RanksHere(settings);
  if (!UsesMpirun(settings) || needed == 0 || std::getenv("OMPI_MCA_btl") != nullptr) return "";
  struct statvfs room {};
  if (statvfs(kSharedMemory, &room) != 0) return "";  // then OpenMPI uses the folder of its session
  const int64_t free = static_cast<int64_t>(room.f_bavail) * static_cast<int64_t>(room.f_frsize);
  if (free >= needed || (room.f_flag & ST_RDONLY) != 0) return "";
  return absl::StrCat(kSharedMemory, " has ", free, " bytes free, and the ranks need ", needed,
                      " to exchange through shared memory: they exchange over TCP, which is slower. Give the "
                      "container more shared memory (docker's --shm-size, a volume in memory at /dev/shm)");
}

}  // namespace deeprack::cli
