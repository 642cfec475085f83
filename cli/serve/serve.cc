#include "cli/serve/serve.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/exit_code.h"
#include "base/rpc/address.h"
#include "base/status_macros.h"
#include "cli/serve/commands.h"
#include "cli/serve/programs.h"
#include "cli/serve/start_check.h"
#include "cli/terminal/progress.h"
#include "cli/terminal/terminal.h"
#include "model/files/model_files.h"
#include "settings/hand_over.h"
#include "settings/setting.h"

namespace deeprack::cli {
namespace {

void Say(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

std::string FirstServedName(const Settings& settings) {
  const std::string& names = settings.served_model_name;
  return names.empty() ? model::ModelNameOf(settings.model) : names.substr(0, names.find(','));
}

// The server's URL for other machines when it listens on every interface; "" otherwise.
std::string UrlForOthers(const ServerProcesses& server) {
  const std::string& host = server.options().host;
  char name[256] = {};
  if (!(host.empty() || IsWildcard(host)) || gethostname(name, sizeof(name) - 1) != 0) return "";
  return absl::StrCat("http://", name, ":", server.ports().http);
}

// The line that tells a person what to do next.
void SayWhere(const ServerProcesses& server) {
  const std::string url = absl::StrCat("http://", server.url().authority());
  const std::string model = FirstServedName(server.options());
  const std::string others = UrlForOthers(server);
  const bool keys = !server.options().api_keys.empty();
  Say(absl::StrCat("deeprack: ready on ", url, others.empty() ? "" : " and ", others, " (",
                   model::ToString(server.options().layout()), "); try\n  curl ", url,
                   "/v1/chat/completions ", keys ? "-H \"Authorization: Bearer $DEEPRACK_API_KEY\" " : "",
                   "-H 'Content-Type: application/json' -d '{\"model\": \"", model,
                   "\", \"messages\": [{\"role\": \"user\", \"content\": \"What is 17 + 25?\"}]}'\n"));
  if (!keys && !IsLoopback(server.options().host)) {
    Say(absl::StrCat("deeprack: warning: port ", server.ports().http,
                     " is open to the network, and requests need no API key. ", FlagOf(&Settings::api_keys),
                     " FILE demands a key (`deeprack keys add` makes one). ", FlagOf(&Settings::host),
                     " 127.0.0.1 closes the port to other machines\n"));
  }
}

}  // namespace

absl::Status CompleteSettings(Settings& settings) {
  for (std::string* path : {&settings.cluster_tls, &settings.packed, &settings.api_keys}) {
    if (!path->empty()) *path = std::filesystem::absolute(*path).string();
  }
  if (!settings.model.empty()) return absl::OkStatus();
  DR_ASSIGN_OR_RETURN(settings.model, FindDemoModel());
  if (settings.served_model_name.empty()) settings.served_model_name = "demo";
  return absl::OkStatus();
}

absl::StatusOr<Settings> LoadServeSettings(const Flags& flags, const std::string& config) {
  DR_ASSIGN_OR_RETURN(Settings settings, LoadSettings(Program::kServe, flags, config));
  DR_RETURN_IF_ERROR(CompleteSettings(settings));
  return settings;
}

std::optional<ServeEnd> BringUp(ServerProcesses& server) {
  if (server.options().load_format == "dummy") {
    Say(absl::StrCat("deeprack: warning: the weights are dummies (", FlagOf(&Settings::load_format),
                     " dummy): answers are noise, for trials only\n"));
  }
  Progress progress("loading", IsTerminal(STDERR_FILENO), absl::Now());
  bool told = false;
  int64_t joined = 0;
  const auto on_state = [&](const ReadyState& state) {
    if (state.state == "waiting_for_workers" && !told && server.options().workers == "external") {
      told = true;
      Say(absl::StrCat("deeprack: waiting for ", state.workers_expected, " workers; start each with\n  ",
                       absl::StrJoin(ExternalWorkerCommand(server.options(), server.ports()), " "), "\n"));
    }
    if (told && state.workers_joined != joined && state.workers_expected > 0) {
      joined = state.workers_joined;
      Say(absl::StrCat("deeprack: ", joined, " of ", state.workers_expected, " workers have joined\n"));
    }
    if (state.bytes_total > 0) Say(progress.Update(state.bytes_done, state.bytes_total, absl::Now()));
  };
  auto end = server.StartAndWaitUntilReady(on_state);
  Say(progress.Finish());
  return end;
}

int Serve(const Settings& options) {
  if (const absl::Status status = CheckStart(options); !status.ok()) {
    Say(absl::StrCat("deeprack: ", status.message(), "\n"));
    return static_cast<int>(ExitCodeOf(status));
  }
  for (const std::string& variable : VariablesOfOthers(Program::kServe, FromEnvironment)) {
    Say(absl::StrCat("deeprack: warning: ", variable,
                     " is not used: `deeprack serve` does not take this setting, and ",
                     "the programs that it starts do not see it\n"));
  }
  StopSignals signals;
  ServerProcesses server(options, &signals);
  std::optional<ServeEnd> end = BringUp(server);
  if (!end.has_value()) {
    SayWhere(server);
    end = server.Watch([] { return false; },
                       [](const std::string& line) { Say(absl::StrCat("deeprack: ", line, "\n")); });
  }
  if (!end->message.empty()) Say(absl::StrCat("deeprack: ", end->message, "\n"));
  server.Stop();
  return end->exit_code;
}

}  // namespace deeprack::cli
