// deeprack-coordinator: the OpenAI-compatible server. Workers attach to the coordinator. The coordinator has
// the workers load the model and run steps.
#include <pthread.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/control_group.h"
#include "base/exit_code.h"
#include "base/fnv.h"
#include "base/log.h"
#include "base/process_limits.h"
#include "base/rpc/rpc_log.h"
#include "base/status_macros.h"
#include "coordinator/access/key_ring.h"
#include "coordinator/api/cors.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/responses/response_store.h"
#include "coordinator/api/served_model.h"
#include "coordinator/cluster.h"
#include "model/config/model_config.h"
#include "model/files/model_files.h"
#include "model/layout/layout.h"
#include "settings/command_line.h"
#include "settings/setting.h"
#include "settings/settings.h"

namespace deeprack::coordinator {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(50);
constexpr absl::Duration kLookAtKeys = absl::Seconds(1);  // between two looks at the file of keys

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

// Names what decides the answer to a request with a seed: program, layout, model and number formats.
std::string Fingerprint(const Settings& options, const ServedModel& model) {
  uint64_t hash = kFnvBegin;
  for (const std::string& part : {model.name, options.compute, options.kv_cache_dtype, options.load_format,
                                  options.prefill_attention}) {
    hash = Fnv1a(std::string_view("\0", 1), Fnv1a(part, hash));
  }
  const model::Layout layout = options.layout();
  return absl::StrCat("deeprack-", DEEPRACK_VERSION, "-tp", layout.tp, "-dp", layout.dp, "-ep", layout.ep,
                      "-pp", layout.pp, "-", absl::Hex(static_cast<uint32_t>(hash), absl::kZeroPad8));
}

absl::StatusOr<std::shared_ptr<ServedModel>> LoadModel(const Settings& options, Clock& clock) {
  DR_ASSIGN_OR_RETURN(const model::ModelConfig config, model::LoadModelConfig(options.model));
  DR_RETURN_IF_ERROR(model::ValidateLayout(config, options.layout()));
  DR_ASSIGN_OR_RETURN(std::shared_ptr<ServedModel> model,
                      LoadServedModel({.path = options.model,
                                       .names = options.served_model_name,
                                       .chat_template = options.chat_template,
                                       .max_context = options.max_context,
                                       .max_logprobs = options.max_logprobs,
                                       .reasoning_field = *ReasoningFieldNamed(options.reasoning_field),
                                       .use_generation_config = options.generation_config,
                                       .dummy_weights = options.load_format == "dummy",
                                       .ignore_unknown_fields = options.unknown_fields == "ignore",
                                       .priorities = options.scheduling_policy == "priority",
                                       .created = absl::ToUnixSeconds(clock.Now())},
                                      config));
  model->fingerprint = Fingerprint(options, *model);
  return model;
}

std::string Url(const Settings& options, uint16_t port) {
  const bool any = options.host == "0.0.0.0" || options.host == "::";
  return absl::StrCat("http://", any ? "127.0.0.1" : options.host, ":", port);
}

// Files that are open beside connections: logs, listening sockets, the ranks' streams, and connections that
// are being refused.
int64_t FilesBesideConnections(const Settings& options) {
  return 128 + 8 * int64_t{options.layout().world_size()};
}

// The most connections that the limit of open files has room for.
int ConnectionsWithin(const Settings& options) {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return options.max_connections;
  const auto most = static_cast<rlim_t>(FilesBesideConnections(options) + options.max_connections);
  if (files.rlim_cur >= most) return options.max_connections;
  const int room = static_cast<int>(
      std::max<int64_t>(static_cast<int64_t>(files.rlim_cur) - FilesBesideConnections(options), 1));
  spdlog::warn(
      "the limit of open files is {}, so {} connections are served, and not the {} of --max-connections: "
      "raise the limit (ulimit -n, systemd's LimitNOFILE, a container's nofile)",
      static_cast<int64_t>(files.rlim_cur), room, options.max_connections);
  return room;
}

absl::StatusOr<HttpOptions> HttpOptionsOf(const Settings& settings) {
  absl::StatusOr<std::vector<std::string>> origins = ParseOrigins(settings.cors_origins);
  if (!origins.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(FlagOf(&Settings::cors_origins), ": ", origins.status().message()));
  }
  return HttpOptions{.host = settings.host,
                     .port = static_cast<uint16_t>(settings.port),
                     .threads = settings.http_threads_on(AllowedProcessorCount()),
                     .max_connections = ConnectionsWithin(settings),
                     .idle_timeout = absl::Seconds(settings.idle_seconds),
                     .keep_alive_interval = absl::Seconds(settings.keep_alive_seconds),
                     .cors_origins = *std::move(origins)};
}

// Lets the running requests finish, and refuses new ones. Ends early at a signal, or when the ranks can serve
// no more.
absl::Status Drain(const Settings& options, const sigset_t& signals, ApiContext& context, HttpServer& server,
                   Cluster& cluster) {
  context.readiness().SetDraining();
  server.StopKeepAlive();
  if (server.answering() > 0) spdlog::info("stopping: {} requests may finish", server.answering());
  const absl::Time deadline = absl::Now() + absl::Seconds(options.drain_seconds);
  absl::Status status;
  while (status.ok() && server.answering() > 0 && absl::Now() < deadline &&
         context.readiness().snapshot().state == Readiness::State::kReady &&
         NextSignal(signals, kTick) == 0) {
    status = cluster.Poll();
  }
  return status;
}

// Serves until a signal comes (OK) or until the cluster can serve no more (its error).
absl::Status Serve(const Settings& options, const sigset_t& signals) {
  SystemClock clock;
  DR_ASSIGN_OR_RETURN(std::shared_ptr<ServedModel> model, LoadModel(options, clock));
  if (model->chat_template && model->chat_template->is_corrected()) {
    spdlog::info(
        "the chat template in {} leaves out markers in a second round of tools: its corrected form is used; "
        "--chat-template with its text in a file uses it as it is",
        model->chat_template->origin());
  }
  auto responses = std::make_shared<ResponseStore>(
      ResponseStoreLimits{.responses = static_cast<size_t>(options.stored_responses),
                          .bytes = static_cast<size_t>(options.stored_responses_bytes),
                          .age = absl::Hours(options.stored_responses_hours)},
      &clock);
  ApiContext context(std::move(model), std::move(responses), &clock);
  std::unique_ptr<KeyRing> keys;
  if (!options.api_keys.empty()) {
    DR_ASSIGN_OR_RETURN(keys, KeyRing::Open(options.api_keys));
  }
  DR_ASSIGN_OR_RETURN(const HttpOptions http, HttpOptionsOf(options));
  const RouterOptions routing = {.max_body_bytes = http.max_body_bytes,
                                 .keys = keys.get(),
                                 .metrics_need_key = options.metrics_key == "required"};
  DR_ASSIGN_OR_RETURN(
      std::unique_ptr<HttpServer> server,
      HttpServer::Start(http, MakeRouter(&context, routing), HttpErrorBody, MakeKeyGate(&context, routing)));
  DR_ASSIGN_OR_RETURN(std::unique_ptr<Cluster> cluster, Cluster::Start(options, &context, &clock));
  std::printf("{\"http\": %d, \"cluster\": %d}\n", server->port(), cluster->port());
  std::fflush(stdout);

  bool announced = false;
  absl::Status status;
  absl::Time next_look = absl::Now() + kLookAtKeys;
  while (status.ok() && NextSignal(signals, kTick) == 0) {
    status = cluster->Poll();
    if (keys != nullptr && absl::Now() >= next_look) {
      keys->Refresh();
      next_look = absl::Now() + kLookAtKeys;
    }
    if (!announced && context.readiness().snapshot().state == Readiness::State::kReady) {
      announced = true;
      spdlog::info("{} is ready at {}", context.model().name, Url(options, server->port()));
    }
  }
  if (status.ok()) status = Drain(options, signals, context, *server, *cluster);
  // Streams get their last event first. Then the HTTP threads end. The objects that these threads use are
  // destroyed last.
  context.readiness().SetStopping();
  cluster->EndStreams();
  if (context.constraints() != nullptr)
    context.constraints()->Stop();  // its callers hold exchanges of the server
  server->Stop(absl::Seconds(2));
  cluster->Stop();
  return status;
}

// The limits of the system that this process needs.
ProcessNeeds NeedsOf(const Settings& options) {
  const auto least = static_cast<int>(FilesBesideConnections(options));
  return {.threads = options.http_threads_on(AllowedProcessorCount()) + RpcThreads(),
          .files = least,
          .better_files = least + options.max_connections};
}

int Main(int argc, char** argv) {
  ExplainRefusals("deeprack-coordinator");
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
  TakeGrpcLog();
  absl::Status status = CheckProcessLimits("the coordinator", NeedsOf(options));
  if (status.ok()) status = Serve(options, signals);
  if (!status.ok()) std::fprintf(stderr, "deeprack-coordinator: %s\n", std::string(status.message()).c_str());
  return static_cast<int>(ExitCodeOf(status));
}

}  // namespace
}  // namespace deeprack::coordinator

int main(int argc, char** argv) { return deeprack::coordinator::Main(argc, argv); }
