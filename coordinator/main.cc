// deeprack-coordinator: the OpenAI-compatible server. Workers attach to the coordinator. The coordinator has
// the workers load the model and run steps.
#include <pthread.h>
#include <signal.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/exit_code.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/served_model.h"
#include "coordinator/cluster.h"
#include "model/config/model_config.h"
#include "model/files/model_files.h"
#include "model/layout/layout.h"
#include "settings/command_line.h"
#include "settings/settings.h"

namespace deeprack::coordinator {
namespace {

// Blocks the signals that end the program. They are blocked in this thread and in all threads that it starts
// later.
sigset_t TakeSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Waits for one of the signals. Returns its number, or 0 after `patience`.
int NextSignal(const sigset_t& signals, absl::Duration patience) {
  const timespec timeout = absl::ToTimespec(patience);
  const int signal = sigtimedwait(&signals, nullptr, &timeout);
  return signal > 0 ? signal : 0;
}

absl::StatusOr<std::shared_ptr<ServedModel>> LoadModel(const Settings& options, Clock& clock) {
  DR_ASSIGN_OR_RETURN(const model::ModelConfig config, model::LoadModelConfig(options.model));
  DR_RETURN_IF_ERROR(model::ValidateLayout(config, options.layout()));
  return LoadServedModel({.path = options.model,
                          .name = options.served_model_name,
                          .chat_template = options.chat_template,
                          .max_context = options.max_context,
                          .max_logprobs = options.max_logprobs,
                          .use_generation_config = options.generation_config,
                          .dummy_weights = options.load_format == "dummy",
                          .ignore_unknown_fields = options.unknown_fields == "ignore",
                          .created = absl::ToUnixSeconds(clock.Now())},
                         config);
}

std::string Url(const Settings& options, uint16_t port) {
  const bool any = options.host == "0.0.0.0" || options.host == "::";
  return absl::StrCat("http://", any ? "127.0.0.1" : options.host, ":", port);
}

HttpOptions HttpOptionsOf(const Settings& settings) {
  return {.host = settings.host,
          .port = static_cast<uint16_t>(settings.port),
          .threads = settings.http_threads,
          .max_connections = settings.max_connections,
          .keep_alive_interval = absl::Seconds(settings.keep_alive_seconds)};
}

// Serves until a signal comes (OK) or until the cluster can serve no more (its error).
absl::Status Serve(const Settings& options, const sigset_t& signals) {
  SystemClock clock;
  DR_ASSIGN_OR_RETURN(std::shared_ptr<ServedModel> model, LoadModel(options, clock));
  ApiContext context(std::move(model), &clock);
  DR_ASSIGN_OR_RETURN(std::unique_ptr<HttpServer> server,
                      HttpServer::Start(HttpOptionsOf(options), MakeRouter(&context), HttpErrorBody));
  DR_ASSIGN_OR_RETURN(std::unique_ptr<Cluster> cluster, Cluster::Start(options, &context, &clock));
  std::printf("{\"http\": %d, \"cluster\": %d}\n", server->port(), cluster->port());
  std::fflush(stdout);

  bool announced = false;
  absl::Status status;
  while (status.ok() && NextSignal(signals, absl::Milliseconds(50)) == 0) {
    status = cluster->Poll();
    if (!announced && context.readiness().snapshot().state == Readiness::State::kReady) {
      announced = true;
      spdlog::info("{} is ready at {}", context.model().name, Url(options, server->port()));
    }
  }
  // Streams get their last event first. Then the HTTP threads end. The objects that these threads use are
  // destroyed last.
  context.readiness().SetStopping();
  cluster->EndStreams();
  server->Stop(absl::Seconds(2));
  cluster->Stop();
  return status;
}

int Main(int argc, char** argv) {
  const sigset_t signals = TakeSignals();
  Settings options;
  const ProgramText text = {
      .name = "deeprack-coordinator",
      .description = "Serves a model over an OpenAI-compatible API, with workers that join the coordinator.",
      .version = DEEPRACK_VERSION};
  if (const auto code = ReadCommandLine(Program::kCoordinator, text, argc, argv, options)) return *code;
  if (const absl::Status status = InitLog("coordinator", options.log_level); !status.ok()) {
    std::fprintf(stderr, "deeprack-coordinator: %s\n", std::string(status.message()).c_str());
    return static_cast<int>(ExitCode::kUsage);
  }
  const absl::Status status = Serve(options, signals);
  if (!status.ok()) std::fprintf(stderr, "deeprack-coordinator: %s\n", std::string(status.message()).c_str());
  return static_cast<int>(ExitCodeOf(status));
}

}  // namespace
}  // namespace deeprack::coordinator

int main(int argc, char** argv) { return deeprack::coordinator::Main(argc, argv); }
