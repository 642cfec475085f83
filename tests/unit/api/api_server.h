// A coordinator for tests, without a cluster: real HTTP, endpoints and scheduler, and scripted workers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/api/api_context.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/http_server.h"
#include "coordinator/api/responses/response_store.h"
#include "gtest/gtest.h"
#include "tests/unit/api/byte_model.h"
#include "tests/unit/api/http_client.h"
#include "tests/unit/api/scripted_executor.h"

namespace deeprack::coordinator {

struct ApiServerOptions {
  bool ignore_unknown_fields = false;
  bool priorities = false;
  std::string script = "2 and 2\n</think>\n\n4";
  int32_t max_context = 512;
  int32_t max_waiting = 64;
  int32_t max_sequences = 16;
  int32_t drafts = 0;                      // of each sequence that decodes
  int32_t vocab_size = 0;                  // of the model; 0: the tokenizer's
  std::vector<std::string> further_names;  // of the model
  ReasoningField reasoning_field = ReasoningField::kReasoningContent;
  HttpOptions http;
  RouterOptions routing;
  EventQueueLimits events;
  ResponseStoreLimits responses;
  std::function<HttpHandler(HttpHandler)> around;  // wraps the handler that is served
};

class ApiServer {
 public:
  explicit ApiServer(ApiServerOptions options = {})
      : context_(ModelOf(options), std::make_shared<ResponseStore>(options.responses, &clock_), &clock_,
                 options.events),
        executor_(ByteTokenizer().Ids(options.script), context_.model().vocabulary) {
    limits_ = {.max_sequences = options.max_sequences,
               .max_waiting = options.max_waiting,
               .max_context = options.max_context,
               .blocks_per_dp_rank = 256,
               .drafts = {.most = options.drafts}};
    HttpHandler handler = MakeRouter(&context_, options.routing);
    if (options.around) handler = options.around(std::move(handler));
    server_ = *HttpServer::Start(options.http, std::move(handler), HttpErrorBody,
                                 MakeKeyGate(&context_, options.routing));
  }

  // Ends in the coordinator's order: first the streams, then the threads, then the loop.
  ~ApiServer() {
    executor_.Allow(-1);
    if (loop_) loop_->Fail(absl::CancelledError("the server is stopping"));
    context_.constraints()->Stop();
    server_->Stop(absl::Seconds(5));
    loop_.reset();
  }

  void BecomeReady() {
    loop_ = StepLoop::Start(limits_, /*epoch=*/1, &executor_, &clock_);
    context_.SetLoop(loop_.get());
    context_.readiness().SetReady();
  }

  HttpReply Post(const std::string& path, const std::string& body) const {
    return HttpClient(port()).Request("POST", path, body);
  }
  HttpReply Get(const std::string& path) const { return HttpClient(port()).Request("GET", path); }

  // Waits until no sequence is running or waiting.
  bool BecomesIdle() const {
    for (int i = 0; i < 10000; ++i) {
      const ServingStats stats = loop_->Stats();
      if (stats.running == 0 && stats.waiting == 0) return true;
      absl::SleepFor(absl::Milliseconds(1));
    }
    return false;
  }

  // Waits until a line of the metrics contains `text`.
  bool MetricsSay(const std::string& text) const {
    for (int i = 0; i < 10000; ++i) {
      if (Get("/metrics").body.find(text) != std::string::npos) return true;
      absl::SleepFor(absl::Milliseconds(1));
    }
    return false;
  }

  uint16_t port() const { return server_->port(); }
  ApiContext& context() { return context_; }
  ScriptedExecutor& executor() { return executor_; }
  StepLoop& loop() { return *loop_; }

 private:
  static std::shared_ptr<ServedModel> ModelOf(const ApiServerOptions& options) {
    std::shared_ptr<ServedModel> model =
        MakeByteModel(options.max_context, options.ignore_unknown_fields, options.reasoning_field);
    if (options.vocab_size > 0) model->vocab_size = options.vocab_size;
    model->priorities = options.priorities;
    model->further_names = options.further_names;
    return model;
  }

  SystemClock clock_;
  ApiContext context_;
  ScriptedExecutor executor_;
  SchedulerLimits limits_;
  std::unique_ptr<StepLoop> loop_;
  std::unique_ptr<HttpServer> server_;
};

// One server for all tests of a program: ready, with default options. GoogleTest ends the server before main
// returns, because the server's threads write to the log, and the log ends with the program's static objects.
inline const ApiServer& Server() {
  class SharedServer : public testing::Environment {
   public:
    SharedServer() : server_(std::make_unique<ApiServer>()) { server_->BecomeReady(); }
    void TearDown() override { server_.reset(); }
    const ApiServer& server() const { return *server_; }

   private:
    std::unique_ptr<ApiServer> server_;
  };
  static const SharedServer* const shared = [] {
    auto* made = new SharedServer();
    testing::AddGlobalTestEnvironment(made);  // GoogleTest deletes `made`
    return made;
  }();
  return shared->server();
}

}  // namespace deeprack::coordinator
