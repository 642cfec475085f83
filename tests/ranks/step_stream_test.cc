// The worker's stream of steps, over gRPC, against a client that sends what it likes.
#include "worker/rpc/step_stream.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "grpcpp/grpcpp.h"
#include "tests/ranks/fake_engine.h"
#include "worker/collectives/local/local_world.h"
#include "worker/rpc/worker_service.h"

namespace deeprack::worker {
namespace {

using ClientStream = grpc::ClientReaderWriter<cluster::StepPlan, cluster::StepResult>;

// Steps wait here until they are let through.
class Gate {
 public:
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

class StepStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    stub_ = cluster::Worker::NewStub(
        grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  }
  void TearDown() override {
    gate_.Open();
    service_.EndStreams();
    server_->Shutdown();
  }

  void Load(Epoch epoch) {
    std::promise<absl::Status> done;
    EngineOptions options;
    options.epoch = epoch;
    engine_.Load(
        options, Meeting(), absl::Seconds(60), [](int64_t, int64_t) {},
        [&](const absl::StatusOr<EngineMemory>& memory) { done.set_value(memory.status()); });
    const absl::Status loaded = done.get_future().get();
    ASSERT_TRUE(loaded.ok()) << loaded;
  }

  std::unique_ptr<ClientStream> Open() {
    context_ = std::make_unique<grpc::ClientContext>();
    return stub_->Steps(context_.get());
  }

  // Step 1 opens sequence 9 in slot 0, a prompt of 3 tokens; later steps have a row of the sequence.
  static cluster::StepPlan Plan(StepId step, Epoch epoch = 1) {
    cluster::StepPlan plan;
    plan.set_epoch(epoch);
    plan.set_step(step);
    plan.add_rows_of_group(step == 1 ? 3 : 1);
    plan.mutable_group()->add_slots(0);
    if (step > 1) return plan;
    plan.mutable_group()->add_rows(3);
    cluster::OpenedSequence* opened = plan.mutable_group()->add_opened();
    opened->set_sequence(9);
    opened->set_prompt_size(3);
    for (const TokenId token : {5, 6, 7}) opened->add_tokens(token);
    opened->mutable_sampling()->set_top_p(1);
    opened->mutable_sampling()->set_repetition_penalty(1);
    opened->mutable_sampling()->set_top_logprobs(-1);
    opened->mutable_end()->set_max_size(50);
    opened->set_prompt_logprobs(-1);
    cluster::PageChange* pages = plan.mutable_group()->add_pages();
    pages->add_pages(4);
    return plan;
  }

  // The tokens of the results up to the stream's end, and the end.
  static std::pair<std::vector<TokenId>, grpc::Status> ReadAll(ClientStream& stream) {
    std::vector<TokenId> tokens;
    cluster::StepResult result;
    StepId step = 0;
    while (stream.Read(&result)) {
      EXPECT_EQ(result.epoch(), 1u);
      EXPECT_EQ(result.step(), ++step);
      EXPECT_EQ(result.sequences_size(), 1);
      tokens.insert(tokens.end(), result.tokens().begin(), result.tokens().end());
    }
    return {tokens, stream.Finish()};
  }

  Gate gate_;
  bool waits_ = false;  // steps wait at the gate
  EngineThread engine_{[](const WorldRequest& request) -> absl::StatusOr<std::unique_ptr<Communicator>> {
                         return std::move(MakeLocalWorld(request.size, absl::Seconds(60)).front());
                       },
                       MakeFakeEngines({.on_step = [this](const GroupStep&) {
                         if (waits_) gate_.Wait();
                         return absl::OkStatus();
                       }})};
  WorkerService service_{&engine_, 1, {.on_loaded = nullptr, .on_stop = nullptr, .new_world = nullptr}};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<cluster::Worker::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
};

const std::vector<TokenId> kTokens = {1, 3001, 4001, 5001};  // 1000 * num_computed + 2^0

TEST_F(StepStreamTest, ResultsComeInOrderAndTheStreamEndsAfterTheLast) {
  Load(1);
  const auto stream = Open();
  for (StepId step = 1; step <= 4; ++step) EXPECT_TRUE(stream->Write(Plan(step)));
  stream->WritesDone();
  const auto [tokens, end] = ReadAll(*stream);
  EXPECT_EQ(tokens, kTokens);
  EXPECT_TRUE(end.ok()) << end.error_message();
  EXPECT_EQ(engine_.steps_finished(), 4u);
}

TEST_F(StepStreamTest, MoreThanFourUnderWayEndTheStreamAfterTheirResults) {
  waits_ = true;
  Load(1);
  const auto stream = Open();
  for (StepId step = 1; step <= 5; ++step) stream->Write(Plan(step));
  auto all = std::async(std::launch::async, [&] { return ReadAll(*stream); });
  // The fifth plan is refused while the first step waits; the stream ends when the steps have ended.
  EXPECT_EQ(all.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  gate_.Open();
  const auto [tokens, end] = all.get();
  EXPECT_EQ(end.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << end.error_message();
  EXPECT_EQ(end.error_message(), "step 5 comes while 4 steps are under way, the most that a rank takes");
  EXPECT_EQ(tokens, kTokens);
}

TEST_F(StepStreamTest, AWrongStepEndsTheStreamAndTheEpoch) {
  Load(1);
  const auto stream = Open();
  stream->Write(Plan(1));
  stream->Write(Plan(3));
  stream->Write(Plan(2));
  const auto [tokens, end] = ReadAll(*stream);
  EXPECT_EQ(tokens, std::vector<TokenId>{1});
  EXPECT_EQ(end.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(end.error_message(), "step 2 of epoch 1: step 3 came in its place");
  const auto again = Open();
  again->Write(Plan(2));
  EXPECT_EQ(ReadAll(*again).second.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(StepStreamTest, APlanOfAnotherEpochOrWithoutSenseEndsTheStream) {
  Load(1);
  const auto other_epoch = Open();
  other_epoch->Write(Plan(1));
  other_epoch->Write(Plan(2, 2));
  const auto [tokens, end] = ReadAll(*other_epoch);
  EXPECT_EQ(tokens, std::vector<TokenId>{1});
  EXPECT_EQ(end.error_message(), "step 2 is of epoch 2 on a stream of epoch 1");
  const auto uneven = Open();
  cluster::StepPlan plan = Plan(2);
  plan.mutable_group()->add_rows(1);
  plan.mutable_group()->add_rows(1);
  uneven->Write(plan);
  EXPECT_EQ(ReadAll(*uneven).second.error_message(), "step 2 has 2 numbers of rows for 1 slots");
  const auto stale = Open();
  stale->Write(Plan(1, 7));
  EXPECT_EQ(ReadAll(*stale).second.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

// The step waits for a rank that does not come.
TEST_F(StepStreamTest, ACancelledStreamGivesItsEpochUp) {
  std::vector<std::unique_ptr<Communicator>> world = MakeLocalWorld(2, absl::Seconds(60));
  std::mutex mutex;
  std::condition_variable changed;
  bool in_step = false;
  EngineThread engine(
      [&](const WorldRequest& request) -> absl::StatusOr<std::unique_ptr<Communicator>> {
        return std::move(world[static_cast<size_t>(request.rank)]);
      },
      MakeFakeEngines({.on_step = [&](const GroupStep&) {
        const std::lock_guard lock(mutex);
        in_step = true;
        changed.notify_all();
        return absl::OkStatus();
      }}));
  std::thread other([&, second = std::move(world[1])] { EXPECT_TRUE(second->Barrier().ok()); });
  std::promise<absl::Status> loaded;
  EngineOptions options;
  options.epoch = 1;
  options.layout.tp = 2;
  engine.Load(
      options, Meeting(), absl::Seconds(60), [](int64_t, int64_t) {},
      [&](const absl::StatusOr<EngineMemory>& memory) { loaded.set_value(memory.status()); });
  ASSERT_TRUE(loaded.get_future().get().ok());
  other.join();

  WorkerService service(&engine, 1, {.on_loaded = nullptr, .on_stop = nullptr, .new_world = nullptr});
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const auto stub = cluster::Worker::NewStub(
      grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  const auto stream = stub->Steps(&context);
  stream->Write(Plan(1));
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return in_step; });
  }
  EXPECT_TRUE(engine.busy());
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  while (engine.busy()) std::this_thread::yield();  // ends, because the world was aborted
  EXPECT_EQ(engine.steps_finished(), 0u);
  server->Shutdown();
}

TEST_F(StepStreamTest, AWorkerThatEndsEndsIdleStreams) {
  Load(1);
  const auto stream = Open();
  stream->Write(Plan(1));
  cluster::StepResult result;
  EXPECT_TRUE(stream->Read(&result));
  service_.EndStreams();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::ABORTED);
}

}  // namespace
}  // namespace deeprack::worker
