// What `deeprack serve` is told: flags, then DEEPRACK_* in the environment, then the YAML file, then
// defaults.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/layout/layout.h"

namespace deeprack::cli {

struct HostSlots {
  std::string host;
  int32_t slots = 1;
  bool operator==(const HostSlots&) const = default;
};

struct ServeOptions {
  std::string model;  // "": the demo model
  int32_t tp = 1, dp = 1, pp = 1;
  int32_t ep = 0;                              // 0: tp * dp
  std::string compute = "bf16";                // bf16, f32
  std::string load_format = "auto";            // model::kLoadFormatNames
  std::string kv_cache_dtype = "auto";         // model::kKvCacheTypeNames
  std::string backend = "auto";                // auto, cpu, cuda
  std::string expert_exchange = "replicated";  // replicated, all_to_all
  std::string prefill_attention = "expanded";  // absorbed, expanded
  std::string host = "127.0.0.1";
  int32_t port = 8000;            // 0: any
  std::string cluster_address;    // where workers find the coordinator, host:port; "": loopback, any port
  std::string cluster_tls;        // folder of certificates; needed as soon as ranks stand elsewhere
  std::string workers = "local";  // local: started here; external: waited for
  std::vector<HostSlots> hosts;   // not empty: mpirun starts the ranks on these machines
  int32_t threads = 0;            // of each rank; 0: its share of the machine's cores
  int64_t max_context = 0;        // 0: the model's
  int64_t max_step_tokens = 0;    // 0: the coordinator's default
  int32_t max_sequences = 0;      // running at once; 0: the coordinator's default
  int32_t max_waiting = 0;        // queued; 0: the coordinator's default
  int32_t max_logprobs = 0;       // a request's at each position; 0: the coordinator's default
  int64_t kv_bytes = 0;           // per rank; 0: the worker chooses
  std::string packed;             // folder of packed weights on every rank's machine; "": none
  std::string packed_check = "header";  // header, full
  int32_t worker_timeout = 0;           // seconds to wait for all ranks; 0: the coordinator's default
  int32_t recovery_timeout = -1;        // the same after a loss; 0: a loss ends serving; -1: its default
  std::string served_model_name;        // "": the folder's name
  std::string log_level = "warn";

  model::Layout layout() const { return {.tp = tp, .dp = dp, .ep = ep > 0 ? ep : tp * dp, .pp = pp}; }
};

// One thing that can be set. Its flag is --name, its variable DEEPRACK_NAME with underscores, its YAML key
// the name with either.
struct Setting {
  absl::string_view name;
  absl::string_view help;
  std::function<absl::Status(ServeOptions&, const std::string&)> set;
};
const std::vector<Setting>& ServeSettings();

using Flags = std::map<std::string, std::string>;  // by setting's name, as given
using Environment = std::function<std::optional<std::string>(const std::string& variable)>;

// "max-context" -> "DEEPRACK_MAX_CONTEXT"
std::string VariableOf(absl::string_view setting);

// `yaml` is the configuration file's text, "" when there is none; `yaml_name` names it in messages.
// InvalidArgument: a flag's value is wrong. FailedPrecondition: a variable's or the file's. Both say which,
// what was found, and what would do.
absl::StatusOr<ServeOptions> ResolveServeOptions(const Flags& flags, const Environment& environment,
                                                 const std::string& yaml, const std::string& yaml_name);

// "a:2,b" -> a with 2 slots, b with 1.
absl::StatusOr<std::vector<HostSlots>> ParseHosts(absl::string_view text);

}  // namespace deeprack::cli
