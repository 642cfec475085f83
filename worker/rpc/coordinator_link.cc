#include "worker/rpc/coordinator_link.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/rpc/credentials.h"
#include "base/rpc/status.h"
#include "grpcpp/grpcpp.h"
#include "proto/cluster.grpc.pb.h"
#include "spdlog/spdlog.h"

namespace deeprack::worker {
namespace {

constexpr auto kHeartbeatEvery = std::chrono::milliseconds(100);
// The time that the coordinator has to end the stream after Goodbye.
constexpr auto kGoodbyeWithin = std::chrono::seconds(1);

class StreamLink final : public CoordinatorLink {
 public:
  StreamLink(std::string coordinator, std::shared_ptr<grpc::Channel> channel, const WorkerIdentity& identity,
             std::function<Pulse()> pulse, std::function<void(absl::Status)> on_end)
      : coordinator_(std::move(coordinator)),
        stub_(cluster::Membership::NewStub(channel)),
        pulse_(std::move(pulse)),
        on_end_(std::move(on_end)) {
    stream_ = stub_->Attach(&context_);
    cluster::WorkerMessage first;
    cluster::Hello* hello = first.mutable_hello();
    hello->set_version(identity.version);
    hello->set_address(identity.address);
    hello->set_launch_rank(identity.launch_rank);
    hello->set_launch_world(identity.launch_world);
    hello->set_host(identity.host);
    hello->set_pid(identity.pid);
    hello->set_backend(identity.backend);
    hello->set_card(identity.card);
    hello->set_nccl(identity.nccl);
    hello->set_gloo(identity.gloo);
    stream_->Write(first);  // if the write fails, the reader gets the reason
    reader_ = std::thread([this] { ReadUntilEnd(); });
    writer_ = std::thread([this] { SendHeartbeats(); });
  }

  ~StreamLink() override { Leave("the worker is ending"); }

  void Leave(const std::string& reason) override {
    {
      std::unique_lock lock(mutex_);
      if (!leaving_) {
        leaving_ = true;
        goodbye_ = reason;
        changed_.notify_all();
      }
      changed_.wait_for(lock, kGoodbyeWithin, [this] { return ended_; });
    }
    context_.TryCancel();
    if (writer_.joinable()) writer_.join();
    if (reader_.joinable()) reader_.join();
  }

 private:
  void SendHeartbeats() {
    std::unique_lock lock(mutex_);
    while (!leaving_ && !ended_) {
      lock.unlock();
      const Pulse pulse = pulse_();
      cluster::WorkerMessage message;
      message.mutable_heartbeat()->set_steps_finished(pulse.steps_finished);
      message.mutable_heartbeat()->set_busy(pulse.busy);
      const bool sent = stream_->Write(message);
      lock.lock();
      if (!sent) return;  // the reader gets the reason
      changed_.wait_for(lock, kHeartbeatEvery, [this] { return leaving_ || ended_; });
    }
    if (ended_) return;
    cluster::WorkerMessage last;
    last.mutable_goodbye()->set_reason(goodbye_);
    lock.unlock();
    stream_->Write(last);
    stream_->WritesDone();
  }

  void ReadUntilEnd() {
    cluster::CoordinatorMessage message;
    while (stream_->Read(&message)) {
      if (message.has_welcome()) {
        spdlog::info("joined {} as rank {}, epoch {}", coordinator_, message.welcome().rank(),
                     message.welcome().epoch());
      }
    }
    const absl::Status status = FromGrpc(stream_->Finish());
    bool tell = false;
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
      tell = !leaving_;
      changed_.notify_all();
    }
    if (!tell) return;
    if (status.ok() || absl::IsUnavailable(status) || absl::IsCancelled(status)) {
      on_end_(absl::UnavailableError(absl::StrCat("the coordinator at ", coordinator_, " went away",
                                                  status.ok() ? "" : ": ", status.message())));
    } else {
      on_end_(absl::Status(status.code(),
                           absl::StrCat("the coordinator at ", coordinator_,
                                        absl::IsAborted(status) ? " has ended this worker's epoch: "
                                                                : " refused this worker: ",
                                        status.message())));
    }
  }

  const std::string coordinator_;
  const std::unique_ptr<cluster::Membership::Stub> stub_;
  const std::function<Pulse()> pulse_;
  const std::function<void(absl::Status)> on_end_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<cluster::WorkerMessage, cluster::CoordinatorMessage>> stream_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool leaving_ = false;
  bool ended_ = false;
  std::string goodbye_;

  std::thread reader_, writer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CoordinatorLink>> CoordinatorLink::Attach(
    const std::string& coordinator, const std::optional<ClusterTls>& tls, const WorkerIdentity& identity,
    absl::Duration connect_timeout, std::function<Pulse()> pulse, std::function<void(absl::Status)> on_end) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  auto channel = grpc::CreateCustomChannel(coordinator, ChannelCredentials(tls, arguments), arguments);
  if (!channel->WaitForConnected(std::chrono::system_clock::now() +
                                 absl::ToChronoMilliseconds(connect_timeout))) {
    return absl::UnavailableError(absl::StrCat(
        "no coordinator answers at ", coordinator, " within ", absl::FormatDuration(connect_timeout),
        ": is it running, is the address right, and do both ends ",
        tls.has_value() ? "have certificates of one authority (--cluster-tls)?"
                        : "go without --cluster-tls?"));
  }
  return std::make_unique<StreamLink>(coordinator, std::move(channel), identity, std::move(pulse),
                                      std::move(on_end));
}

}  // namespace deeprack::worker
