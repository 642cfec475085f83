#include "worker/rpc/coordinator_link.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/rpc/connect_reason.h"
#include "base/rpc/credentials.h"
#include "base/rpc/status.h"
#include "grpcpp/grpcpp.h"
#include "proto/cluster.grpc.pb.h"
#include "spdlog/spdlog.h"
#include "worker/rpc/conversions.h"

namespace deeprack::worker {
namespace {

constexpr auto kHeartbeatEvery = std::chrono::milliseconds(100);
// A coordinator that is started again finds its workers soon, so they try to connect often.
constexpr int kTryAgainAfterMs = 200;
constexpr int kOneTryMs = 5000;  // the longest time of one try: an address without a machine gives no answer
constexpr int kLookUpAgainAfterMs = 1000;  // a coordinator that is started again may have another address
constexpr absl::Duration kLookForConnectionEvery = absl::Milliseconds(100);
constexpr absl::Duration kAskReasonWithin = absl::Milliseconds(500);
// gRPC's pings: a coordinator that is stopped, or that this worker does not hear, does not answer them.
constexpr int kAskEveryMs = 2000;
constexpr int kAnswerWithinMs = 6000;
// The time that the coordinator has to end the stream after Goodbye.
constexpr auto kGoodbyeWithin = std::chrono::seconds(1);

class StreamLink final : public CoordinatorLink {
 public:
  StreamLink(std::string coordinator, std::shared_ptr<grpc::Channel> channel, const WorkerIdentity& identity,
             std::function<Pulse()> pulse, std::function<void(const absl::Status&)> on_end)
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
    if (identity.last_epoch > 0) {
      cluster::Kept* kept = hello->mutable_kept();
      kept->set_epoch(identity.last_epoch);
      kept->set_rank(identity.kept_rank);
      kept->set_options(identity.kept_options);
    }
    MachineReportToProto(identity.machine, hello->mutable_machine());
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
    bool dismissed = false;
    while (stream_->Read(&message)) {
      if (message.has_dismissal()) {
        dismissed = true;
        spdlog::info("{} has dismissed this worker: {}", coordinator_, message.dismissal().reason());
      }
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
    if (dismissed) {
      on_end_(absl::OkStatus());
    } else if (status.ok() || absl::IsUnavailable(status) || absl::IsCancelled(status)) {
      on_end_(absl::UnavailableError(EndText(status)));
    } else {
      on_end_(absl::Status(status.code(),
                           absl::StrCat("the coordinator at ", coordinator_,
                                        absl::IsAborted(status) ? " has ended this worker's epoch: "
                                                                : " refused this worker: ",
                                        status.message())));
    }
  }

  std::string EndText(const absl::Status& status) const {
    const bool in_order = status.ok() || absl::IsCancelled(status);
    return absl::StrCat("the coordinator at ", coordinator_,
                        " went away: ", in_order ? "it was stopped" : LossReason(status.message()));
  }

  const std::string coordinator_;
  const std::unique_ptr<cluster::Membership::Stub> stub_;
  const std::function<Pulse()> pulse_;
  const std::function<void(const absl::Status&)> on_end_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<cluster::WorkerMessage, cluster::CoordinatorMessage>> stream_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool leaving_ = false;
  bool ended_ = false;
  std::string goodbye_;

  std::thread reader_, writer_;
};

// Why `channel` has no connection to `coordinator`; "" while a first try is under way, or when the channel
// has a connection.
std::string ReasonOf(const std::shared_ptr<grpc::Channel>& channel, const std::string& coordinator) {
  if (channel->GetState(/*try_to_connect=*/true) != GRPC_CHANNEL_TRANSIENT_FAILURE) return "";
  // gRPC tells the reason to calls alone. A channel without a connection fails them at once.
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kAskReasonWithin));
  const auto call = cluster::Membership::NewStub(channel)->Attach(&context);
  call->WritesDone();
  const absl::Status status = FromGrpc(call->Finish());
  return absl::IsUnavailable(status) ? ConnectReason(coordinator, status.message()) : "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<CoordinatorLink>> CoordinatorLink::Attach(
    const std::string& coordinator, const std::optional<ClusterTls>& tls, const WorkerIdentity& identity,
    absl::Duration connect_timeout, const std::function<bool()>& given_up, std::function<Pulse()> pulse,
    std::function<void(const absl::Status&)> on_end) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kTryAgainAfterMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kOneTryMs);
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, kLookUpAgainAfterMs);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kAskEveryMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kAnswerWithinMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // any number
  auto channel = grpc::CreateCustomChannel(coordinator, ChannelCredentials(tls, arguments), arguments);
  const absl::Time deadline = absl::Now() + connect_timeout;
  std::set<std::string> told;
  std::string reason;  // the latest
  while (!channel->WaitForConnected(
      absl::ToChronoTime(std::min(deadline, absl::Now() + kLookForConnectionEvery)))) {
    if (given_up()) return absl::CancelledError("this worker was told to end");
    if (const std::string now = ReasonOf(channel, coordinator); !now.empty()) {
      reason = now;
      if (told.insert(reason).second)
        spdlog::info("waiting for the coordinator at {}: {}", coordinator, reason);
    }
    if (absl::Now() < deadline) continue;
    return absl::UnavailableError(absl::StrCat(
        "no coordinator answers at ", coordinator, " within ", absl::FormatDuration(connect_timeout), ": ",
        reason.empty() ? "no connection came about" : reason,
        "; is the coordinator running, is --coordinator right, and do both ends ",
        tls.has_value() ? "have certificates of one authority (--cluster-tls)?"
                        : "go without --cluster-tls?"));
  }
  return std::make_unique<StreamLink>(coordinator, std::move(channel), identity, std::move(pulse),
                                      std::move(on_end));
}

}  // namespace deeprack::worker
