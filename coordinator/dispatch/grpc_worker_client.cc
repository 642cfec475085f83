#include "coordinator/dispatch/grpc_worker_client.h"

#include <chrono>
#include <deque>
#include <mutex>
#include <utility>

#include "base/rpc/credentials.h"
#include "base/rpc/status.h"
#include "coordinator/dispatch/worker_client.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "model/step/message_size.h"
#include "proto/cluster.grpc.pb.h"

namespace deeprack::coordinator {
namespace {

// A call with one request and one reply.
class UnaryCall : public WorkerClient::Call {
 public:
  UnaryCall() = default;
  explicit UnaryCall(absl::Duration timeout) {
    context_.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
  }
  void Cancel() override { context_.TryCancel(); }
  grpc::ClientContext* context() { return &context_; }

 private:
  grpc::ClientContext context_;
};

std::function<void(grpc::Status)> WithStatus(WorkerClient::Done done) {
  return [done = std::move(done)](const grpc::Status& status) { done(FromGrpc(status)); };
}

class StopCall final : public UnaryCall {
 public:
  using UnaryCall::UnaryCall;
  cluster::StopReply* reply() { return &reply_; }

 private:
  cluster::StopReply reply_;
};

// Reads one rank's progress until the load ends.
class LoadCall final : public WorkerClient::Call, private grpc::ClientReadReactor<cluster::LoadProgress> {
 public:
  LoadCall(WorkerClient::OnProgress progress, WorkerClient::Done done)
      : progress_(std::move(progress)), done_(std::move(done)) {}

  void Start(cluster::Worker::Stub* stub, const cluster::LoadRequest& request) {
    stub->async()->Load(&context_, &request, this);
    StartRead(&message_);
    StartCall();
  }

  void Cancel() override { context_.TryCancel(); }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;  // gRPC calls OnDone next
    progress_(message_);
    StartRead(&message_);
  }
  void OnDone(const grpc::Status& status) override {
    const WorkerClient::Done done = std::move(done_);  // `done` may destroy this object
    done(FromGrpc(status));
  }

  grpc::ClientContext context_;
  const WorkerClient::OnProgress progress_;
  WorkerClient::Done done_;
  cluster::LoadProgress message_;
};

void Unref(void* bytes) { delete static_cast<std::shared_ptr<const std::string>*>(bytes); }

// A message that shares `bytes`.
grpc::ByteBuffer MessageOf(std::shared_ptr<const std::string> bytes) {
  auto* const owner = new std::shared_ptr<const std::string>(std::move(bytes));
  const grpc::Slice slice(const_cast<char*>((*owner)->data()), (*owner)->size(), Unref, owner);
  return grpc::ByteBuffer(&slice, 1);
}

// One rank's steps. gRPC takes one write at a time, so plans wait in a queue.
class StepsCall final : public WorkerClient::StepStream,
                        private grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  StepsCall(WorkerClient::OnResult on_result, WorkerClient::Done done)
      : on_result_(std::move(on_result)), done_(std::move(done)) {}

  void Start(grpc::GenericStub* stub) {
    stub->PrepareBidiStreamingCall(&context_, "/deeprack.cluster.Worker/Steps", {}, this);
    AddHold();  // for writes that are started outside of reactions
    StartRead(&message_);
    StartCall();
  }

  void Send(std::shared_ptr<const std::string> plan) override {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    plans_.push_back(std::move(plan));
    WriteNext();
  }

  void EndPlans() override {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    WriteNext();
  }

  void Cancel() override {
    context_.TryCancel();
    const std::lock_guard lock(mutex_);
    GiveUp();
  }

 private:
  // Call these with mutex_ held.
  void WriteNext() {
    if (writing_ || released_) return;
    if (!plans_.empty()) {
      writing_ = true;
      outgoing_ = MessageOf(std::move(plans_.front()));
      plans_.pop_front();
      StartWrite(&outgoing_);
    } else if (ended_) {
      StartWritesDone();
      Release();
    }
  }
  void GiveUp() {
    ended_ = true;
    plans_.clear();
    Release();
  }
  void Release() {
    if (!std::exchange(released_, true)) RemoveHold();
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    ok ? WriteNext() : GiveUp();
  }
  void OnReadDone(bool ok) override {
    if (!ok) {  // the rank has ended the stream; gRPC calls OnDone next
      const std::lock_guard lock(mutex_);
      GiveUp();
      return;
    }
    cluster::StepResult result;
    if (!grpc::SerializationTraits<cluster::StepResult>::Deserialize(&message_, &result).ok()) {
      context_.TryCancel();
      const std::lock_guard lock(mutex_);
      malformed_ = true;
      GiveUp();
      return;
    }
    on_result_(std::move(result));
    StartRead(&message_);
  }
  void OnDone(const grpc::Status& status) override {
    const WorkerClient::Done done = std::move(done_);  // `done` may destroy this object
    done(malformed_ ? absl::InternalError("the result of a step is no message of this version")
                    : FromGrpc(status));
  }

  grpc::ClientContext context_;
  const WorkerClient::OnResult on_result_;
  WorkerClient::Done done_;
  grpc::ByteBuffer message_;   // being read
  grpc::ByteBuffer outgoing_;  // being written
  std::mutex mutex_;
  std::deque<std::shared_ptr<const std::string>> plans_;
  bool writing_ = false;
  bool ended_ = false;      // no more plans
  bool released_ = false;   // no more writes are started from outside of reactions
  bool malformed_ = false;  // a result could not be read
};

class GrpcWorkerClient final : public WorkerClient {
 public:
  explicit GrpcWorkerClient(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(cluster::Worker::NewStub(channel)), generic_stub_(channel) {}

  std::unique_ptr<Call> NewWorld(const cluster::NewWorldRequest& request, absl::Duration timeout,
                                 cluster::NewWorldReply* reply, Done done) override {
    auto call = std::make_unique<UnaryCall>(timeout);
    stub_->async()->NewWorld(call->context(), &request, reply, WithStatus(std::move(done)));
    return call;
  }

  std::unique_ptr<Call> Load(const cluster::LoadRequest& request, OnProgress progress, Done done) override {
    auto call = std::make_unique<LoadCall>(std::move(progress), std::move(done));
    call->Start(stub_.get(), request);
    return call;
  }

  std::unique_ptr<StepStream> Steps(OnResult on_result, Done done) override {
    auto call = std::make_unique<StepsCall>(std::move(on_result), std::move(done));
    call->Start(&generic_stub_);
    return call;
  }

  std::unique_ptr<Call> Stop(const cluster::StopRequest& request, absl::Duration timeout,
                             Done done) override {
    auto call = std::make_unique<StopCall>(timeout);
    stub_->async()->Stop(call->context(), &request, call->reply(), WithStatus(std::move(done)));
    return call;
  }

 private:
  const std::unique_ptr<cluster::Worker::Stub> stub_;
  grpc::GenericStub generic_stub_;  // sends bytes that several ranks share
};

}  // namespace

std::unique_ptr<WorkerPool> ConnectWorkers(const std::vector<WorkerAddress>& ranks,
                                           const std::optional<ClusterTls>& tls) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(static_cast<int>(model::kMostMessageBytes));
  arguments.SetMaxSendMessageSize(static_cast<int>(model::kMostMessageBytes));
  const auto credentials = ChannelCredentials(tls, arguments);
  std::vector<WorkerPool::Worker> workers;
  for (const WorkerAddress& rank : ranks) {
    workers.push_back({rank.host, rank.pid,
                       std::make_unique<GrpcWorkerClient>(
                           grpc::CreateCustomChannel(rank.address, credentials, arguments))});
  }
  return std::make_unique<WorkerPool>(std::move(workers));
}

}  // namespace deeprack::coordinator
