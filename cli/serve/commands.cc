#include "cli/serve/commands.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace deeprack::cli {
namespace {

constexpr char kAnyLoopbackPort[] = "127.0.0.1:0";

void Append(std::vector<std::string>& command, const std::string& flag, const std::string& value) {
  command.push_back(flag);
  command.push_back(value);
}

void AppendUnlessZero(std::vector<std::string>& command, const std::string& flag, int64_t value) {
  if (value != 0) Append(command, flag, absl::StrCat(value));
}

void AppendPacked(std::vector<std::string>& command, const ServeOptions& options) {
  if (options.packed.empty()) return;
  Append(command, "--packed", options.packed);
  Append(command, "--packed-check", options.packed_check);
}

}  // namespace

std::vector<std::string> CoordinatorCommand(const std::string& program, const ServeOptions& options) {
  const model::Layout layout = options.layout();
  std::vector<std::string> command = {program, options.model};
  Append(command, "--host", options.host);
  Append(command, "--port", absl::StrCat(options.port));
  Append(command, "--cluster-address",
         options.cluster_address.empty() ? kAnyLoopbackPort : options.cluster_address);
  if (!options.cluster_tls.empty()) Append(command, "--cluster-tls", options.cluster_tls);
  Append(command, "--tp", absl::StrCat(layout.tp));
  Append(command, "--dp", absl::StrCat(layout.dp));
  Append(command, "--ep", absl::StrCat(layout.ep));
  Append(command, "--pp", absl::StrCat(layout.pp));
  Append(command, "--compute", options.compute);
  Append(command, "--load-format", options.load_format);
  Append(command, "--kv-cache-dtype", options.kv_cache_dtype);
  Append(command, "--expert-exchange", options.expert_exchange);
  Append(command, "--prefill-attention", options.prefill_attention);
  AppendUnlessZero(command, "--max-context", options.max_context);
  AppendUnlessZero(command, "--max-step-tokens", options.max_step_tokens);
  AppendUnlessZero(command, "--max-sequences", options.max_sequences);
  AppendUnlessZero(command, "--max-waiting", options.max_waiting);
  AppendUnlessZero(command, "--max-logprobs", options.max_logprobs);
  AppendUnlessZero(command, "--kv-bytes", options.kv_bytes);
  AppendUnlessZero(command, "--worker-timeout", options.worker_timeout);
  if (options.recovery_timeout >= 0)
    Append(command, "--recovery-timeout", absl::StrCat(options.recovery_timeout));
  if (!options.served_model_name.empty()) Append(command, "--served-model-name", options.served_model_name);
  Append(command, "--log-level", options.log_level);
  return command;
}

std::string CoordinatorAddress(const ServeOptions& options, const CoordinatorPorts& ports) {
  const std::string& address = options.cluster_address.empty() ? kAnyLoopbackPort : options.cluster_address;
  return absl::StrCat(address.substr(0, address.rfind(':')), ":", ports.cluster);
}

std::vector<std::string> ExternalWorkerCommand(const ServeOptions& options, const CoordinatorPorts& ports) {
  std::vector<std::string> command = {"deeprack-worker", "--coordinator", CoordinatorAddress(options, ports)};
  if (!options.cluster_tls.empty()) Append(command, "--cluster-tls", options.cluster_tls);
  if (options.backend != "auto") Append(command, "--backend", options.backend);
  AppendPacked(command, options);
  return command;
}

std::vector<std::string> WorkersCommand(const std::string& program, const ServeOptions& options,
                                        const CoordinatorPorts& ports, bool as_root) {
  const int32_t ranks = options.layout().world_size();
  std::vector<std::string> command;
  if (ranks > 1 || !options.hosts.empty()) {
    command = {"mpirun", "--oversubscribe", "--bind-to", "none", "-n", absl::StrCat(ranks)};
    if (as_root) command.push_back("--allow-run-as-root");
    if (!options.hosts.empty()) {
      const std::string list = absl::StrJoin(options.hosts, ",", [](std::string* out, const HostSlots& host) {
        absl::StrAppend(out, host.host, ":", host.slots);
      });
      Append(command, "--host", list);
    }
  }
  command.push_back(program);
  Append(command, "--coordinator", CoordinatorAddress(options, ports));
  if (!options.cluster_tls.empty()) Append(command, "--cluster-tls", options.cluster_tls);
  if (options.backend != "auto") Append(command, "--backend", options.backend);
  AppendUnlessZero(command, "--threads", options.threads);
  AppendPacked(command, options);
  Append(command, "--log-level", options.log_level);
  return command;
}

}  // namespace deeprack::cli
