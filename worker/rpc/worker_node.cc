#include "worker/rpc/worker_node.h"

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
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
      : engine_(std::make_unique<EngineThread>(std::move(join), std::move(create))),
        service_(engine_.get(), options.threads,
                 {.on_loaded = [this](const absl::Status& status) { NoteLoad(status); },
                  .on_stop = [this](std::string reason) { RequestStop(reason); },
                  .new_world = options.new_world}) {}

  ~Node() override {
    engine_->Abort(std::numeric_limits<Epoch>::max());
    if (link_ != nullptr) link_->Leave(reason_.empty() ? "the worker is ending" : reason_);
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + kShutdownWithin);
    engine_.reset();  // after the server, because the server's handlers use the engine thread
  }

  absl::Status Serve(const WorkerNodeOptions& options) {
    DR_ASSIGN_OR_RETURN(const HostPort coordinator, ParseHostPort(options.coordinator));
    DR_ASSIGN_OR_RETURN(const HostPort listen, ListenAddress(options.listen, coordinator));
    DR_RETURN_IF_ERROR(CheckProtected(coordinator, options.tls.has_value()));
    DR_RETURN_IF_ERROR(CheckProtected(listen, options.tls.has_value()));
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(ToString(listen), ServerCredentials(options.tls), &port);
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

  absl::Status Attach(const WorkerNodeOptions& options) {
    const WorkerIdentity identity{.version = DEEPRACK_VERSION,
                                  .address = address_,
                                  .launch_rank = options.launch_rank,
                                  .launch_world = options.launch_world,
                                  .host = HostName(),
                                  .pid = getpid(),
                                  .backend = options.backend,
                                  .card = options.card,
                                  .nccl = options.nccl,
                                  .gloo = options.gloo};
    DR_ASSIGN_OR_RETURN(link_,
                        CoordinatorLink::Attach(
                            options.coordinator, options.tls, identity, options.connect_timeout,
                            [this] {
                              return Pulse{engine_->steps_finished(), engine_->busy()};
                            },
                            [this](absl::Status why) { End(std::move(why), "the coordinator went away"); }));
    return absl::OkStatus();
  }

  absl::Status WaitUntilEnd() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return end_.has_value(); });
    return *end_;
  }

  void RequestStop(const std::string& reason) override { End(absl::OkStatus(), reason); }

  absl::Status load_status() const override {
    std::lock_guard lock(mutex_);
    return load_status_;
  }

 private:
  void End(absl::Status why, const std::string& reason) {
    std::lock_guard lock(mutex_);
    if (end_) return;
    end_ = std::move(why);
    reason_ = reason;
    changed_.notify_all();
  }

  void NoteLoad(const absl::Status& status) {
    if (!status.ok()) spdlog::error("loading failed: {}", std::string(status.message()));
    std::lock_guard lock(mutex_);
    load_status_ = status;
  }

  std::unique_ptr<EngineThread> engine_;
  WorkerService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<CoordinatorLink> link_;
  std::string address_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<absl::Status> end_;
  std::string reason_;
  absl::Status load_status_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerNode>> WorkerNode::Start(const WorkerNodeOptions& options,
                                                              JoinWorld join, CreateEngine create) {
  auto node = std::make_unique<Node>(std::move(join), std::move(create), options);
  DR_RETURN_IF_ERROR(node->Serve(options));
  DR_RETURN_IF_ERROR(node->Attach(options));
  return node;
}

}  // namespace deeprack::worker
