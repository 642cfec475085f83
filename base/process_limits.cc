#include "base/process_limits.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/exit_code.h"
#include "base/status_macros.h"

namespace deeprack {
namespace {

constexpr char kMoreThreads[] =
    "raise the limit of processes (ulimit -u, systemd's TasksMax, a container's pids limit) or of memory "
    "(ulimit -v)";
constexpr char kMoreMemory[] = "raise the limit of memory (ulimit -v, a container's memory limit)";

constexpr size_t kSmallStack = 128 << 10;  // bytes
// gRPC 1.51 starts up to two threads for each processor, as if the machine had 32 at most, and seven more.
// MPI and deeprack's own loops take the others.
constexpr int kOtherThreads = 16, kMostCounted = 32;

// Holds threads until it is destroyed.
class Threads {
 public:
  explicit Threads(bool whole_stacks) {
    pthread_attr_init(&attributes_);
    if (!whole_stacks) pthread_attr_setstacksize(&attributes_, kSmallStack);
    pthread_mutex_lock(&gate_);
  }
  ~Threads() {
    pthread_mutex_unlock(&gate_);
    for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
    pthread_mutex_destroy(&gate_);
    pthread_attr_destroy(&attributes_);
  }

  // Starts one more. The error, or 0.
  int Start() {
    pthread_t thread{};
    const int error = pthread_create(&thread, &attributes_, &Wait, &gate_);
    if (error == 0) threads_.push_back(thread);
    return error;
  }

 private:
  static void* Wait(void* gate) {
    pthread_mutex_lock(static_cast<pthread_mutex_t*>(gate));
    pthread_mutex_unlock(static_cast<pthread_mutex_t*>(gate));
    return nullptr;
  }

  pthread_attr_t attributes_{};
  pthread_mutex_t gate_ = PTHREAD_MUTEX_INITIALIZER;
  std::vector<pthread_t> threads_;
};

absl::Status CheckThreads(const std::string& program, int count, bool own) {
  Threads threads(/*whole_stacks=*/own);
  for (int i = 1; i <= count; ++i) {
    if (const int error = threads.Start(); error != 0) {
      return absl::FailedPreconditionError(absl::StrCat(program, " needs ", count,
                                                        " threads, and the system refuses thread ", i, " (",
                                                        std::strerror(error), "): ", kMoreThreads));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckFiles(const std::string& program, rlim_t least, rlim_t better) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return absl::OkStatus();
  if (limit.rlim_cur < better) {
    limit.rlim_cur = std::max(limit.rlim_cur, std::min(better, limit.rlim_max));
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur >= least) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(program, " needs ", least, " open files, and the limit is ", limit.rlim_cur,
                   ": raise the limit of files (ulimit -n, systemd's LimitNOFILE, a container's nofile)"));
}

const char* explained_program = "deeprack";

// Writes a line without taking memory, and ends the process.
[[noreturn]] void EndWithLine(const char* what, const char* remedy) {
  std::array<char, 512> line{};
  const int size = std::snprintf(line.data(), line.size(), "%s: %s: %s\n", explained_program, what, remedy);
  [[maybe_unused]] const ssize_t written =
      write(STDERR_FILENO, line.data(), std::min<size_t>(static_cast<size_t>(size), line.size() - 1));
  _exit(static_cast<int>(ExitCode::kTryAgain));
}

std::terminate_handler before = nullptr;

[[noreturn]] void Explain() {
  if (const std::exception_ptr thrown = std::current_exception()) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::system_error& error) {
      if (error.code() == std::errc::resource_unavailable_try_again)
        EndWithLine("the system refuses another thread", kMoreThreads);
    } catch (const std::bad_alloc&) {
      EndWithLine("the system refuses more memory", kMoreMemory);
    } catch (...) {
    }
  }
  if (before != nullptr) before();
  std::abort();
}

}  // namespace

absl::Status CheckProcessLimits(const std::string& program, const ProcessNeeds& needs) {
  DR_RETURN_IF_ERROR(CheckFiles(program, static_cast<rlim_t>(needs.files),
                                static_cast<rlim_t>(std::max(needs.files, needs.better_files))));
  return CheckThreads(program, needs.threads, needs.own_threads);
}

int RpcThreads() { return RpcThreadsOn(static_cast<int>(sysconf(_SC_NPROCESSORS_CONF))); }

int RpcThreadsOn(int processors) { return kOtherThreads + 2 * std::clamp(processors, 1, kMostCounted); }

void ExplainRefusals(const char* program) {
  explained_program = program;
  before = std::set_terminate(Explain);
}

}  // namespace deeprack
