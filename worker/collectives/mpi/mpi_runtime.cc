#include "worker/collectives/mpi/mpi_runtime.h"

#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "worker/collectives/mpi/mpi_world.h"

namespace deeprack::worker {
namespace {

constexpr int kAlarmTag = 0;
constexpr int64_t kMaxMessageBytes = int64_t{1} << 30;  // longer messages go in parts

// A peer on another core usually answers within microseconds, and the thread yields for kYieldFor. Then the
// thread sleeps, so that a peer that shares this core or computes for long gets the core.
constexpr absl::Duration kYieldFor = absl::Microseconds(100);
constexpr auto kSleep = std::chrono::microseconds(30);

// MPI_Finalize waits for every process of the launch, so a process that died would block it for ever.
constexpr auto kFinalizeWithin = std::chrono::seconds(10);
constexpr auto kFinalizeBrokenWithin = std::chrono::seconds(2);

int IntFromEnvironment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  int value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

}  // namespace

LaunchWorld DetectLaunchWorld() {
  LaunchWorld world{IntFromEnvironment("OMPI_COMM_WORLD_RANK", -1),
                    IntFromEnvironment("OMPI_COMM_WORLD_SIZE", 1)};
  if (world.rank < 0 || world.rank >= world.size) return {};
  return world;
}

void LeaveMpi(int exit_code) { MpiRuntime::Get().End(exit_code); }

MpiRuntime& MpiRuntime::Get() {
  // Never destroyed: threads may call Abort until the process ends.
  static MpiRuntime* runtime = new MpiRuntime();
  return *runtime;
}

absl::Status MpiRuntime::Begin() {
  std::lock_guard lock(mutex_);
  if (begun_) return absl::OkStatus();
  int provided = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS) {
    return absl::UnavailableError("MPI_Init_thread failed: was this process started by mpirun of OpenMPI 4?");
  }
  begun_ = true;
  // This thread polls: 1000 ns of timer slack keep its short sleeps short.
  prctl(PR_SET_TIMERSLACK, 1000);
  if (provided < MPI_THREAD_SERIALIZED) {
    return absl::InternalError(
        "this MPI library has no MPI_THREAD_SERIALIZED, which abort from another thread needs");
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  return Check(MPI_Irecv(&alarm_from_, 1, MPI_INT, MPI_ANY_SOURCE, kAlarmTag, MPI_COMM_WORLD, &alarm_),
               "MPI_Irecv");
}

void MpiRuntime::End(int exit_code) {
  std::unique_lock lock(mutex_);
  if (!begun_) return;
  if (in_doubt_) std::_Exit(exit_code);
  std::thread([exit_code, patience = broken_ ? kFinalizeBrokenWithin : kFinalizeWithin] {
    std::this_thread::sleep_for(patience);
    std::_Exit(exit_code);
  }).detach();
  if (alarm_ != MPI_REQUEST_NULL) {
    MPI_Cancel(&alarm_);
    MPI_Wait(&alarm_, MPI_STATUS_IGNORE);
  }
  MPI_Finalize();
  begun_ = false;
}

absl::Status MpiRuntime::Check(int code, const char* what) {
  if (code == MPI_SUCCESS) return absl::OkStatus();
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  BreakLocked(absl::StrCat(what, " failed on rank ", rank_, ": ", text), /*tell_peers=*/true);
  return BrokenStatusLocked();
}

absl::Status MpiRuntime::BrokenStatusLocked() const {
  return absl::AbortedError(absl::StrCat("the group of ranks is broken: ", why_));
}

absl::Status MpiRuntime::CheckIntact() {
  if (!broken_) return absl::OkStatus();
  std::lock_guard lock(mutex_);
  return BrokenStatusLocked();
}

void MpiRuntime::BreakLocked(const std::string& why, bool tell_peers) {
  if (broken_) return;
  why_ = why;
  broken_ = true;
  if (!tell_peers || !begun_) return;
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    MPI_Request request;
    if (MPI_Isend(&rank_, 1, MPI_INT, peer, kAlarmTag, MPI_COMM_WORLD, &request) == MPI_SUCCESS) {
      MPI_Request_free(&request);  // MPI completes the message; no call waits for it
    }
  }
}

void MpiRuntime::Break(const std::string& why) {
  std::lock_guard lock(mutex_);
  BreakLocked(why, /*tell_peers=*/true);
}

absl::Status MpiRuntime::StartSend(const void* data, int64_t bytes, int to, int tag) {
  const char* from = static_cast<const char*>(data);
  std::lock_guard lock(mutex_);
  while (bytes > 0) {
    if (broken_) return BrokenStatusLocked();
    const int64_t part = std::min(bytes, kMaxMessageBytes);
    Transfer& transfer = transfers_.emplace_back(Transfer{.bytes = part, .peer = to});
    DR_RETURN_IF_ERROR(
        Check(MPI_Isend(from, static_cast<int>(part), MPI_BYTE, to, tag, MPI_COMM_WORLD, &transfer.request),
              "MPI_Isend"));
    from += part;
    bytes -= part;
  }
  return absl::OkStatus();
}

absl::Status MpiRuntime::StartReceive(void* data, int64_t bytes, int from, int tag) {
  char* to = static_cast<char*>(data);
  std::lock_guard lock(mutex_);
  while (bytes > 0) {
    if (broken_) return BrokenStatusLocked();
    const int64_t part = std::min(bytes, kMaxMessageBytes);
    Transfer& transfer = transfers_.emplace_back(Transfer{.bytes = part, .peer = from, .receives = true});
    DR_RETURN_IF_ERROR(
        Check(MPI_Irecv(to, static_cast<int>(part), MPI_BYTE, from, tag, MPI_COMM_WORLD, &transfer.request),
              "MPI_Irecv"));
    to += part;
    bytes -= part;
  }
  return absl::OkStatus();
}

void MpiRuntime::AbandonLocked() {
  for (Transfer& transfer : transfers_) {
    if (transfer.request == MPI_REQUEST_NULL) continue;
    if (transfer.receives) MPI_Cancel(&transfer.request);
    int done = 0;
    if (MPI_Test(&transfer.request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && done) continue;
    // The receive has matched and cannot be cancelled. Only another call of MPI would write to its buffer,
    // and there will be none.
    in_doubt_ = true;
  }
}

absl::Status MpiRuntime::Finish(std::chrono::steady_clock::time_point start, absl::Duration timeout,
                                const char* what) {
  const absl::Status finished = FinishTransfers(start, timeout, what);
  transfers_.clear();
  return finished;
}

absl::Status MpiRuntime::FinishTransfers(std::chrono::steady_clock::time_point start, absl::Duration timeout,
                                         const char* what) {
  size_t pending = transfers_.size();
  while (true) {
    const absl::Duration waited = absl::FromChrono(std::chrono::steady_clock::now() - start);
    {
      std::lock_guard lock(mutex_);
      absl::Status failure = broken_ ? BrokenStatusLocked() : absl::OkStatus();
      pending = 0;
      for (size_t i = 0; failure.ok() && i < transfers_.size(); ++i) {
        Transfer& transfer = transfers_[i];
        if (transfer.request == MPI_REQUEST_NULL) continue;
        int done = 0;
        MPI_Status status;
        failure = Check(MPI_Test(&transfer.request, &done, &status), what);
        if (!failure.ok()) break;
        pending += done ? 0 : 1;
        if (!done || !transfer.receives) continue;
        int received = 0;
        MPI_Get_count(&status, MPI_BYTE, &received);
        if (received != transfer.bytes) {
          BreakLocked(absl::StrCat(what, ": rank ", rank_, " expects ", transfer.bytes, " bytes of rank ",
                                   transfer.peer, ", which sends ", received),
                      /*tell_peers=*/true);
          failure = BrokenStatusLocked();
        }
      }
      if (failure.ok() && pending == 0) return absl::OkStatus();
      if (failure.ok()) {
        int alarmed = 0;
        failure = Check(MPI_Test(&alarm_, &alarmed, MPI_STATUS_IGNORE), "the alarm's receive");
        if (failure.ok() && alarmed) {
          BreakLocked(absl::StrCat("rank ", alarm_from_, " told all ranks to stop"), /*tell_peers=*/false);
          failure = BrokenStatusLocked();
        }
      }
      if (failure.ok() && waited > timeout) {
        std::set<int> peers;
        for (const Transfer& transfer : transfers_) {
          if (transfer.request != MPI_REQUEST_NULL) peers.insert(transfer.peer);
        }
        failure = absl::DeadlineExceededError(
            absl::StrCat("rank ", rank_, " waited ", absl::FormatDuration(timeout), " for rank ",
                         absl::StrJoin(peers, ", "), " of ", size_, " in ", what));
        BreakLocked(std::string(failure.message()), /*tell_peers=*/true);
      }
      if (!failure.ok()) {
        AbandonLocked();
        return failure;
      }
    }
    if (waited < kYieldFor) {
      sched_yield();
    } else {
      std::this_thread::sleep_for(kSleep);
    }
  }
}

}  // namespace deeprack::worker
