#include "worker/rpc/worker_node.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/exit_code.h"
#include "base/rpc/address.h"
#include "base/rpc/credentials.h"
#include "base/status_macros.h"
#include "grpcpp/grpcpp.h"
#include "model/step/message_size.h"
#include "spdlog/spdlog.h"
#include "worker/rpc/coordinator_link.h"

namespace deeprack::worker {
namespace {

constexpr auto kShutdownWithin = std::chrono::milliseconds(500);

constexpr absl::Duration kLookForEndEvery = absl::Milliseconds(10);
// How long an engine may take to end a step after its epoch was given up.
constexpr absl::Duration kRestWithin = absl::Seconds(5);

std::string HostName() {
  char name[256] = "";
  if (gethostname(name, sizeof(name) - 1) != 0) return "unknown";
  return name;
}

// The address at which the service listens. `listen` is as in WorkerNodeOptions.
absl::StatusOr<HostPort> ListenAddress(const std::string& listen, const HostPort& coordinator) {
  if (!listen.empty()) return ParseHostPort(listen);
  if (IsLoopback(coordinator.host)) return HostPort{"127.0.0.1", 0};
  return HostPort{absl::StrContains(coordinator.host, ':') ? "::" : "0.0.0.0", 0};
}

class Node final : public WorkerNode {
 public:
  Node(JoinWorld join, CreateEngine create, const WorkerNodeOptions& options)
      : options_(options),
        engine_(std::make_unique<EngineThread>(std::move(join), std::move(create))),
        service_(engine_.get(), options.threads,
                 {.on_loaded = [this](const absl::Status& status,
                                      const LoadMemory& load) { NoteLoad(status, load); },
                  .on_stop = [this](std::string reason) { RequestStop(reason); },
                  .new_world = options.new_world}) {}

  ~Node() override {
    // The coordinator learns first that this worker leaves. Told by another rank that a peer is lost, it would
    // form the next epoch with this worker.
    if (link_ != nullptr) link_->Leave(reason_.empty() ? "the worker is ending" : reason_);
    engine_->Abort(std::numeric_limits<Epoch>::max());
    service_.EndStreams();
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + kShutdownWithin);
    engine_.reset();  // after the server, because the server's handlers use the engine thread
  }

  absl::Status Serve() {
    DR_ASSIGN_OR_RETURN(const HostPort coordinator, ParseHostPort(options_.coordinator));
    DR_ASSIGN_OR_RETURN(const HostPort listen, ListenAddress(options_.listen, coordinator));
    DR_RETURN_IF_ERROR(CheckProtected(coordinator, options_.tls.has_value()));
    DR_RETURN_IF_ERROR(CheckProtected(listen, options_.tls.has_value()));
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(ToString(listen), ServerCredentials(options_.tls), &port);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.SetMaxReceiveMessageSize(static_cast<int>(model::kMostMessageBytes));
    builder.SetMaxSendMessageSize(static_cast<int>(model::kMostMessageBytes));
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port == 0) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", ToString(listen), ": is it this machine's, and the port free?"));
    }
    const HostPort bound{listen.host, static_cast<uint16_t>(port)};
    address_ = IsWildcard(listen.host) ? absl::StrCat(":", port) : ToString(bound);
    return absl::OkStatus();
  }

  absl::Status Attach(absl::Duration connect_timeout) {
    WorkerIdentity identity{.version = DEEPRACK_VERSION,
                            .address = address_,
                            .launch_rank = options_.launch_rank,
                            .launch_world = options_.launch_world,
                            .host = HostName(),
                            .pid = getpid(),
                            .backend = options_.backend,
                            .card = options_.card,
                            .nccl = options_.nccl,
                            .gloo = options_.gloo,
                            .machine = options_.machine};
    {
      const std::lock_guard lock(mutex_);
      identity.last_epoch = last_epoch_;
      identity.kept_rank = kept_.rank;
      identity.kept_options = kept_.options;
    }
    DR_ASSIGN_OR_RETURN(link_, CoordinatorLink::Attach(
                                   options_.coordinator, options_.tls, identity, connect_timeout,
                                   [this] { return stop_requested(); },
                                   [this] {
                                     return Pulse{engine_->steps_finished(), engine_->busy()};
                                   },
                                   [this](const absl::Status& why) { NoteLinkEnd(why); }));
    return absl::OkStatus();
  }

  absl::Status WaitUntilEnd() override {
    while (true) {
      absl::Status end = AwaitEnd();
      if (!MayAttachAgain(end)) return end;
      const absl::Status again = AttachAgain(end);
      if (stop_requested()) return absl::OkStatus();
      if (!again.ok()) return again;
    }
  }

  void RequestStop(const std::string& reason) override {
    std::lock_guard lock(mutex_);
    stop_requested_ = true;
    if (end_) return;
    end_ = absl::OkStatus();
    reason_ = reason;
    changed_.notify_all();
  }

  absl::Status load_status() const override {
    std::lock_guard lock(mutex_);
    return load_status_;
  }

 private:
  bool stop_requested() const {
    std::lock_guard lock(mutex_);
    return stop_requested_;
  }

  void NoteLinkEnd(const absl::Status& why) {
    std::lock_guard lock(mutex_);
    if (end_) return;
    end_ = why;
    reason_ = "the coordinator went away";
    changed_.notify_all();
  }

  void NoteLoad(const absl::Status& status, const LoadMemory& load) {
    if (!status.ok()) spdlog::error("loading failed: {}", std::string(status.message()));
    std::lock_guard lock(mutex_);
    load_status_ = status;
    last_epoch_ = std::max(last_epoch_, load.epoch);
    // A load that fails leaves the weights of an earlier load of the same share.
    if (status.ok()) {
      kept_ = load;
    } else if (kept_.rank != load.rank || kept_.options != load.options) {
      kept_ = {};
    }
  }

  absl::Status AwaitEnd() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return end_.has_value(); });
    return *end_;
  }

  // A broken MPI world cannot be made again, and a rank whose own load failed has nothing to keep.
  bool MayAttachAgain(const absl::Status& end) const {
    std::lock_guard lock(mutex_);
    const bool parted = absl::IsUnavailable(end) || absl::IsAborted(end);
    const bool meets_again = options_.launch_world <= 1 || kept_.over_nccl;
    const bool load_failed = !load_status_.ok() && ExitCodeOfLoad(load_status_) != ExitCode::kUnavailable;
    return parted && meets_again && !load_failed && options_.coordinator_wait > absl::ZeroDuration();
  }

  // Waits until the engine has ended what it does. A load goes on reading when its coordinator has gone, and
  // has until `deadline`. Everything else must end soon, or the device hangs.
  bool RestsBefore(absl::Time deadline, bool let_load_end) const {
    const absl::Time soon = absl::Now() + kRestWithin;
    while (engine_->busy() || engine_->loading()) {
      const bool reads = let_load_end && engine_->loading();
      if (stop_requested() || absl::Now() > (reads ? deadline : std::min(soon, deadline))) return false;
      absl::SleepFor(kLookForEndEvery);
    }
    return true;
  }

  // `parted`: why the link to the coordinator has ended.
  absl::Status AttachAgain(const absl::Status& parted) {
    const absl::Time deadline = absl::Now() + options_.coordinator_wait;
    spdlog::warn("{}; this worker waits up to {} for a coordinator at {} (--coordinator-wait)",
                 std::string(parted.message()), absl::FormatDuration(options_.coordinator_wait),
                 options_.coordinator);
    engine_->AbortLatest();
    link_.reset();
    if (!RestsBefore(deadline, absl::IsUnavailable(parted))) return parted;
    {
      std::lock_guard lock(mutex_);
      if (stop_requested_) return absl::OkStatus();
      end_.reset();
    }
    const absl::Status attached = Attach(deadline - absl::Now());
    if (!absl::IsUnavailable(attached)) return attached;
    return absl::UnavailableError(absl::StrCat(parted.message(), "; none came back within ",
                                               absl::FormatDuration(options_.coordinator_wait),
                                               " (--coordinator-wait)"));
  }

  const WorkerNodeOptions options_;
  std::unique_ptr<EngineThread> engine_;
  WorkerService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<CoordinatorLink> link_;
  std::string address_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<absl::Status> end_;
  bool stop_requested_ = false;
  std::string reason_;
  absl::Status load_status_;
  Epoch last_epoch_ = 0;  // of the last Load
  LoadMemory kept_;       // the load whose weights are in memory; rank -1: none
};

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerNode>> WorkerNode::Start(const WorkerNodeOptions& options,
                                                              JoinWorld join, CreateEngine create) {
  auto node = std::make_unique<Node>(std::move(join), std::move(create), options);
  DR_RETURN_IF_ERROR(node->Serve());
  DR_RETURN_IF_ERROR(node->Attach(options.connect_timeout));
  return node;
}

}  // namespace deeprack::worker
