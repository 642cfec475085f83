// The system's limits on this process, checked before the program begins. A program that meets a limit later
// would end in the middle of its work, in a library's words.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace deeprack {

struct ProcessNeeds {
  int threads = 0;  // started by the program and its libraries, beside the main thread
  // False: other processes start `threads`. Their stacks take no memory of this process.
  bool own_threads = true;
  int files = 0;         // open at the same time, at least
  int better_files = 0;  // open at the same time under load
};

// Starts `threads` threads for a moment, and raises the soft limit of open files towards `better_files`.
// FailedPrecondition: the limit of processes, memory or files is too small; the message begins with
// `program`, and names the limit and how to raise it.
absl::Status CheckProcessLimits(const std::string& program, const ProcessNeeds& needs);

// An upper bound of the threads that gRPC starts in a process on this machine. The threads of the program's
// own settings are not counted. gRPC counts all processors of the machine, whatever the affinity mask allows.
int RpcThreads();

// The same bound on a machine of `processors` processors. Pure.
int RpcThreadsOn(int processors);

// From now on, an exception that nobody catches because the system refuses a thread or memory ends the
// process with one line on standard error and exit code kTryAgain. `program` stands first in the line. Other
// exceptions that nobody catches are bugs: the process aborts.
void ExplainRefusals(const char* program);

}  // namespace deeprack
