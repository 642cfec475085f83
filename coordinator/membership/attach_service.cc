#include "coordinator/membership/attach_service.h"

#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/rpc/status.h"
#include "base/status_macros.h"
#include "coordinator/membership/hello.h"

namespace deeprack::coordinator {
namespace {

// The stream of one worker. Deletes itself when the stream is over.
class Stream final : public grpc::ServerBidiReactor<cluster::WorkerMessage, cluster::CoordinatorMessage>,
                     public AttachStream {
 public:
  Stream(const std::string& version, bool has_tls, std::string peer, AttachHandler* handler)
      : version_(version), has_tls_(has_tls), peer_(std::move(peer)), handler_(handler) {
    StartRead(&incoming_);
  }

  void Welcome(Rank rank, Epoch epoch) override {
    cluster::CoordinatorMessage message;
    message.mutable_welcome()->set_rank(rank);
    message.mutable_welcome()->set_epoch(epoch);
    Send(std::move(message));
  }

  void Dismiss(const std::string& reason) override {
    cluster::CoordinatorMessage message;
    message.mutable_dismissal()->set_reason(reason);
    Send(std::move(message));
  }

 private:
  void Send(cluster::CoordinatorMessage message) {
    const std::lock_guard lock(mutex_);
    next_ = std::move(message);
    if (!writing_ && !finished_) WriteNext();
  }

  void WriteNext() {
    outgoing_ = *std::exchange(next_, std::nullopt);
    writing_ = true;
    StartWrite(&outgoing_);
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (ok && next_ && !finished_) WriteNext();
  }

  void OnReadDone(bool ok) override {
    const absl::Status status = ok ? Take(incoming_) : absl::OkStatus();
    if (ok && status.ok()) {
      StartRead(&incoming_);
      return;
    }
    if (!status.ok()) ended_because_ = std::string(status.message());
    if (member_) handler_->OnEnd(*member_, ended_because_, said_goodbye_);
    const std::lock_guard lock(mutex_);  // gRPC calls OnDone after this function has returned
    finished_ = true;
    Finish(ToGrpc(status));
  }

  absl::Status Take(const cluster::WorkerMessage& message) {
    switch (message.body_case()) {
      case cluster::WorkerMessage::kHello:
        return TakeHello(message.hello());
      case cluster::WorkerMessage::kHeartbeat:
        if (!member_) break;
        return handler_->OnHeartbeat(*member_, message.heartbeat().steps_finished(),
                                     message.heartbeat().busy());
      case cluster::WorkerMessage::kGoodbye:
        ended_because_ = absl::StrCat("it left: ", OneLine(message.goodbye().reason()));
        said_goodbye_ = true;
        return absl::OkStatus();
      case cluster::WorkerMessage::BODY_NOT_SET:
        break;
    }
    return absl::InvalidArgumentError(
        "a worker's stream starts with Hello, and holds messages this build knows");
  }

  absl::Status TakeHello(const cluster::Hello& hello) {
    if (member_) return absl::InvalidArgumentError("a second Hello on one stream");
    DR_ASSIGN_OR_RETURN(JoinedNode node, NodeFromHello(hello, version_, peer_, has_tls_));
    absl::StatusOr<int> member = handler_->OnHello(node, this);
    if (!member.ok()) return member.status();
    member_ = *member;
    return absl::OkStatus();
  }

  void OnDone() override { delete this; }

  const std::string version_;
  const bool has_tls_;
  const std::string peer_;
  AttachHandler* const handler_;
  // At most one read is under way. Writes run at the same time.
  cluster::WorkerMessage incoming_;
  std::optional<int> member_;
  std::string ended_because_ = "its connection broke: the process has died or the network failed";
  bool said_goodbye_ = false;

  std::mutex mutex_;
  cluster::CoordinatorMessage outgoing_;             // used while writing_ is true
  std::optional<cluster::CoordinatorMessage> next_;  // the latest message; it replaces an unsent one
  bool writing_ = false;
  bool finished_ = false;
};

}  // namespace

AttachService::AttachService(std::string version, bool has_tls, AttachHandler* handler)
    : version_(std::move(version)), has_tls_(has_tls), handler_(handler) {}

grpc::ServerBidiReactor<cluster::WorkerMessage, cluster::CoordinatorMessage>* AttachService::Attach(
    grpc::CallbackServerContext* context) {
  return new Stream(version_, has_tls_, context->peer(), handler_);
}

}  // namespace deeprack::coordinator
