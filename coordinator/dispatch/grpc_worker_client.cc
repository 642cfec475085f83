#include "coordinator/dispatch/grpc_worker_client.h"

#include <chrono>
#include <utility>

#include "base/rpc/credentials.h"
#include "base/rpc/status.h"
#include "coordinator/dispatch/worker_client.h"
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

class GrpcWorkerClient final : public WorkerClient {
 public:
  explicit GrpcWorkerClient(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(cluster::Worker::NewStub(channel)) {}

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

  std::unique_ptr<Call> ExecuteStep(const cluster::StepPlan& plan, cluster::StepResult* result,
                                    Done done) override {
    auto call = std::make_unique<UnaryCall>();
    stub_->async()->ExecuteStep(call->context(), &plan, result, WithStatus(std::move(done)));
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
