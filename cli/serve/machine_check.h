// What the coordinator, mpirun and the ranks need of this machine, checked before they are started: each of
// them would fail in other words and with other exit codes.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "settings/settings.h"

namespace deeprack::cli {

// FailedPrecondition: the limits of processes, memory or files are too small for the processes that start
// here, or mpirun would find no folder for its session's files.
absl::Status CheckMachine(const Settings& settings);

// Where mpirun keeps the files of its session, by OpenMPI's order of variables.
struct TemporaryFolder {
  std::string path;
  std::string name;  // how messages call it: "$TMPDIR", or "TMPDIR is not set" for /tmp
};
TemporaryFolder FindTemporaryFolder();

// FailedPrecondition: nothing can be written in `folder`, which `name` calls so ("$TMPDIR").
absl::Status CheckTemporaryFolder(const std::string& folder, const std::string& name);

// Not empty when the ranks of this machine would exchange through shared memory, and /dev/shm is too small:
// a sentence for the user, who gets ranks that exchange over TCP (kWithoutSharedMemory). "" also where the
// user has told OpenMPI how to exchange.
std::string ShortSharedMemory(const Settings& settings);
inline constexpr char kWithoutSharedMemory[] = "OMPI_MCA_btl=^vader";  // a variable of mpirun's environment

}  // namespace deeprack::cli
