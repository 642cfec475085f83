#include "cli/serve/serve_options.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "model/config/kv_cache_type.h"
#include "model/files/load_format.h"
#include "model/step/sampling_check.h"

namespace deeprack::cli {
namespace {

using Setter = std::function<absl::Status(ServeOptions&, const std::string&)>;

Setter Text(std::string ServeOptions::*field) {
  return [field](ServeOptions& options, const std::string& value) {
    options.*field = value;
    return absl::OkStatus();
  };
}

Setter Choice(std::string ServeOptions::*field, std::vector<std::string> choices) {
  return
      [field, choices = std::move(choices)](ServeOptions& options, const std::string& value) -> absl::Status {
        if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
          return absl::InvalidArgumentError(absl::StrCat("must be one of ", absl::StrJoin(choices, ", ")));
        }
        options.*field = value;
        return absl::OkStatus();
      };
}

template <class T>
Setter Number(T ServeOptions::*field, int64_t low, int64_t high) {
  return [=](ServeOptions& options, const std::string& value) -> absl::Status {
    int64_t number = 0;
    if (!absl::SimpleAtoi(value, &number) || number < low || number > high) {
      return absl::InvalidArgumentError(absl::StrCat("must be a whole number from ", low, " to ", high));
    }
    options.*field = static_cast<T>(number);
    return absl::OkStatus();
  };
}

absl::Status SetHosts(ServeOptions& options, const std::string& value) {
  DR_ASSIGN_OR_RETURN(options.hosts, ParseHosts(value));
  return absl::OkStatus();
}

constexpr int64_t kMaxRanks = 4096;  // of one dimension
constexpr int64_t kMaxTokens = int64_t{1} << 30;

std::vector<Setting> MakeSettings() {
  return {
      {"tp", "tensor parallel: ranks that share each attention head group",
       Number(&ServeOptions::tp, 1, kMaxRanks)},
      {"dp", "data parallel attention groups", Number(&ServeOptions::dp, 1, kMaxRanks)},
      {"ep", "expert groups; divides tp * dp, 0: all of it", Number(&ServeOptions::ep, 0, kMaxRanks)},
      {"pp", "pipeline stages", Number(&ServeOptions::pp, 1, kMaxRanks)},
      {"compute", "bf16 or f32: activations", Choice(&ServeOptions::compute, {"bf16", "f32"})},
      {"load-format",
       "auto or dummy: dummy makes weights up, to try a rack before the model's are there; answers are noise",
       Choice(&ServeOptions::load_format,
              {std::begin(model::kLoadFormatNames), std::end(model::kLoadFormatNames)})},
      {"kv-cache-dtype", "auto, bf16 or fp8: the KV cache; auto: as compute; fp8: half the memory of bf16",
       Choice(&ServeOptions::kv_cache_dtype,
              {std::begin(model::kKvCacheTypeNames), std::end(model::kKvCacheTypeNames)})},
      {"backend", "auto, cpu or cuda; auto: cuda where a rank's machine has a card, else cpu",
       Choice(&ServeOptions::backend, {"auto", "cpu", "cuda"})},
      {"expert-exchange", "replicated or all_to_all",
       Choice(&ServeOptions::expert_exchange, {"replicated", "all_to_all"})},
      {"prefill-attention", "absorbed or expanded: latent attention of prompts",
       Choice(&ServeOptions::prefill_attention, {"absorbed", "expanded"})},
      {"host", "address of the HTTP server", Text(&ServeOptions::host)},
      {"port", "port of the HTTP server, 0: any", Number(&ServeOptions::port, 0, 65535)},
      {"cluster-address", "host:port where workers find the coordinator",
       Text(&ServeOptions::cluster_address)},
      {"cluster-tls", "folder of ca.crt, tls.crt and tls.key, the same path on every machine",
       Text(&ServeOptions::cluster_tls)},
      {"workers", "local: start the ranks; external: wait for ranks started elsewhere",
       Choice(&ServeOptions::workers, {"local", "external"})},
      {"hosts", "machines for the ranks and how many each: a:2,b:2 (through mpirun)", SetHosts},
      {"threads", "compute threads of each rank, 0: its share of the cores",
       Number(&ServeOptions::threads, 0, 1024)},
      {"max-context", "positions of a sequence, 0: the model's",
       Number(&ServeOptions::max_context, 0, kMaxTokens)},
      {"max-step-tokens", "tokens of a step and dp group, 0: default",
       Number(&ServeOptions::max_step_tokens, 0, 1 << 20)},
      {"max-sequences", "sequences running at once, 0: default",
       Number(&ServeOptions::max_sequences, 0, 1 << 16)},
      {"max-waiting", "requests in the queue, 0: default", Number(&ServeOptions::max_waiting, 0, 1 << 20)},
      {"max-logprobs", "log-probabilities a request may ask for at each position, 0: default",
       Number(&ServeOptions::max_logprobs, 0, model::kMostTopLogprobs)},
      {"kv-bytes", "KV cache of each rank, 0: from its free memory",
       Number(&ServeOptions::kv_bytes, 0, std::numeric_limits<int64_t>::max())},
      {"packed", "folder of packed weights: each rank maps its file, or packs it for the next start",
       Text(&ServeOptions::packed)},
      {"packed-check", "header: a packed file's size and header; full: also all of its data",
       Choice(&ServeOptions::packed_check, {"header", "full"})},
      {"worker-timeout", "seconds to wait for all ranks, 0: default",
       Number(&ServeOptions::worker_timeout, 0, 86400)},
      {"recovery-timeout", "seconds to wait for all ranks after one was lost, 0: a loss ends serving",
       Number(&ServeOptions::recovery_timeout, 0, 86400)},
      {"served-model-name", "the model's name in the API, default: its folder's",
       Text(&ServeOptions::served_model_name)},
      {"log-level", "of coordinator and workers",
       Choice(&ServeOptions::log_level, {"trace", "debug", "info", "warn", "error", "off"})},
  };
}

const Setting* FindSetting(absl::string_view name) {
  for (const Setting& setting : ServeSettings()) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

std::string WithDashes(absl::string_view key) { return absl::StrReplaceAll(key, {{"_", "-"}}); }

// A YAML sequence (hosts: [a:2, b]) reads as its entries joined by commas.
absl::StatusOr<std::string> ScalarText(const YAML::Node& node) {
  if (node.IsScalar()) return node.Scalar();
  if (node.IsSequence()) {
    std::vector<std::string> parts;
    for (const YAML::Node& part : node) {
      if (!part.IsScalar())
        return absl::InvalidArgumentError("must be a plain value or a list of plain values");
      parts.push_back(part.Scalar());
    }
    return absl::StrJoin(parts, ",");
  }
  return absl::InvalidArgumentError("must be a plain value or a list of plain values");
}

absl::StatusOr<Flags> ParseYaml(const std::string& yaml, const std::string& name) {
  Flags values;
  try {
    const YAML::Node root = YAML::Load(yaml);
    if (root.IsNull()) return values;
    if (!root.IsMap()) {
      return absl::FailedPreconditionError(absl::StrCat(name, ": expected lines of `setting: value`"));
    }
    for (const auto& entry : root) {
      const std::string key = WithDashes(entry.first.Scalar());
      if (key != "model" && FindSetting(key) == nullptr) {
        std::vector<absl::string_view> known = {"model"};
        for (const Setting& setting : ServeSettings()) known.push_back(setting.name);
        return absl::FailedPreconditionError(absl::StrCat(name, ": unknown setting '", entry.first.Scalar(),
                                                          "'; known: ", absl::StrJoin(known, ", ")));
      }
      const absl::StatusOr<std::string> text = ScalarText(entry.second);
      if (!text.ok())
        return absl::FailedPreconditionError(absl::StrCat(name, ": ", key, ": ", text.status().message()));
      values[key] = *text;
    }
  } catch (const YAML::Exception& error) {
    return absl::FailedPreconditionError(absl::StrCat(name, ": ", error.what()));
  }
  return values;
}

}  // namespace

const std::vector<Setting>& ServeSettings() {
  static const std::vector<Setting> settings = MakeSettings();
  return settings;
}

std::string VariableOf(absl::string_view setting) {
  return absl::StrCat("DEEPRACK_", absl::AsciiStrToUpper(absl::StrReplaceAll(setting, {{"-", "_"}})));
}

absl::StatusOr<ServeOptions> ResolveServeOptions(const Flags& flags, const Environment& environment,
                                                 const std::string& yaml, const std::string& yaml_name) {
  DR_ASSIGN_OR_RETURN(const Flags file, ParseYaml(yaml, yaml_name));
  // The one place that knows who wins. Returns the value and where it stood; flags are the user's own words.
  struct Found {
    std::string value, place;
    bool is_flag = false;
  };
  const auto find = [&](absl::string_view name) -> std::optional<Found> {
    if (const auto flag = flags.find(std::string(name)); flag != flags.end()) {
      return Found{flag->second, absl::StrCat("--", name), true};
    }
    if (auto value = environment(VariableOf(name))) return Found{*std::move(value), VariableOf(name)};
    if (const auto entry = file.find(std::string(name)); entry != file.end()) {
      return Found{entry->second, absl::StrCat(yaml_name, ": ", name)};
    }
    return std::nullopt;
  };

  ServeOptions options;
  if (const auto model = find("model")) options.model = model->value;
  for (const Setting& setting : ServeSettings()) {
    const auto found = find(setting.name);
    if (!found.has_value()) continue;
    if (const absl::Status status = setting.set(options, found->value); !status.ok()) {
      const std::string message = absl::StrCat(found->place, ": '", found->value, "' ", status.message());
      return found->is_flag ? absl::InvalidArgumentError(message) : absl::FailedPreconditionError(message);
    }
  }
  return options;
}

absl::StatusOr<std::vector<HostSlots>> ParseHosts(absl::string_view text) {
  std::vector<HostSlots> hosts;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> fields =
        absl::StrSplit(part, absl::MaxSplits(':', 1));
    HostSlots host{.host = std::string(absl::StripAsciiWhitespace(fields.first))};
    const bool has_slots = part.find(':') != absl::string_view::npos;
    if (host.host.empty() || host.host[0] == '-' ||
        (has_slots && (!absl::SimpleAtoi(fields.second, &host.slots) || host.slots < 1))) {
      return absl::InvalidArgumentError("must be host:ranks,host:ranks, such as node1:8,node2:8");
    }
    hosts.push_back(std::move(host));
  }
  return hosts;
}

}  // namespace deeprack::cli
