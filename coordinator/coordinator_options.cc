#include "coordinator/coordinator_options.h"

#include <yaml-cpp/yaml.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <string_view>

#include "model/budget/kv_cache_type.h"
#include "model/files/load_format.h"
#include "model/step/sampling_check.h"

namespace deeprack::coordinator {
namespace {

constexpr int kUsage = 64;
constexpr int kConfiguration = 78;

// "--max-context" -> "DEEPRACK_MAX_CONTEXT"
std::string VariableOf(std::string_view flag) {
  std::string name = "DEEPRACK_";
  for (const char c : flag.substr(2)) {
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

void AddFlags(CLI::App& app, CoordinatorOptions& o, std::string& config_file) {
  const auto option = [&app](const char* flag, auto& field, const char* help) {
    return app.add_option(flag, field, help)->envname(VariableOf(flag))->capture_default_str();
  };
  const auto positive = CLI::Range(1, 4096);
  app.add_option("model", o.model, "A Hugging Face model folder or a GGUF")->required();
  option("--config", config_file, "A YAML file with any of these settings");
  option("--host", o.host, "Address of the HTTP server");
  option("--port", o.port, "Port of the HTTP server, 0: any");
  option("--cluster-address", o.cluster_address, "host:port where workers attach");
  option("--cluster-tls", o.cluster_tls,
         "Folder of ca.crt, tls.crt and tls.key; needed when workers attach from other machines");
  option("--tp", o.tp, "Tensor parallel ranks")->check(positive);
  option("--dp", o.dp, "Data parallel attention groups")->check(positive);
  option("--ep", o.ep, "Expert groups, 0: tp * dp")->check(CLI::Range(0, 4096));
  option("--pp", o.pp, "Pipeline stages")->check(positive);
  option("--compute", o.compute, "Activations")->check(CLI::IsMember({"bf16", "f32"}));
  option("--load-format", o.load_format, "Weights: the model's, or dummy ones, of which answers are noise")
      ->check(CLI::IsMember(
          std::vector<std::string>(std::begin(model::kLoadFormatNames), std::end(model::kLoadFormatNames))));
  option("--kv-cache-dtype", o.kv_cache_dtype, "KV cache; auto: as --compute")
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(model::kKvCacheTypeNames),
                                                     std::end(model::kKvCacheTypeNames))));
  option("--expert-exchange", o.expert_exchange, "How experts meet tokens")
      ->check(CLI::IsMember({"replicated", "all_to_all"}));
  option("--prefill-attention", o.prefill_attention, "Latent attention of prompts")
      ->check(CLI::IsMember({"absorbed", "expanded"}));
  option("--max-context", o.max_context, "Positions of a sequence, 0: the model's")
      ->check(CLI::Range(0, 1 << 30));
  option("--max-step-tokens", o.max_step_tokens, "Tokens of a step and dp group")
      ->check(CLI::Range(1, 1 << 20));
  option("--max-sequences", o.max_sequences, "Sequences running at once in each dp group")
      ->check(CLI::Range(1, 1 << 16));
  option("--max-waiting", o.max_waiting, "Sequences in the queue; beyond it requests get 429")
      ->check(CLI::Range(0, 1 << 20));
  option("--max-logprobs", o.max_logprobs, "Log-probabilities a request may ask for at each position")
      ->check(CLI::Range(1, model::kMostTopLogprobs));
  option("--kv-bytes", o.kv_bytes, "KV cache of each rank, 0: from its free memory")
      ->check(CLI::NonNegativeNumber);
  option("--threads", o.threads, "Compute threads of each rank, 0: its share")->check(CLI::Range(0, 4096));
  option("--worker-timeout", o.worker_timeout, "Seconds to wait for all ranks")->check(CLI::PositiveNumber);
  option("--load-progress-timeout", o.load_progress_timeout,
         "Seconds without progress after which a rank that loads is lost")
      ->check(CLI::PositiveNumber);
  option("--recovery-timeout", o.recovery_timeout,
         "Seconds to wait for all ranks after one was lost, while streams pause; 0: a loss ends serving")
      ->check(CLI::NonNegativeNumber);
  option("--served-model-name", o.served_model_name, "The model's name in the API, default: its folder's");
  option("--log-level", o.log_level, "trace, debug, info, warn, error or off")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}));
  app.add_flag("--generation-config,!--no-generation-config", o.generation_config,
               "Sampling defaults from the model's generation_config.json");
}

// --config FILE, --config=FILE or DEEPRACK_CONFIG: needed before the other flags are read.
std::string FindConfigFile(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--config" && i + 1 < argc) return argv[i + 1];
    if (argument.substr(0, 9) == "--config=") return std::string(argument.substr(9));
  }
  const char* variable = std::getenv("DEEPRACK_CONFIG");
  return variable != nullptr ? variable : "";
}

// The file's values become the defaults, which flags and environment override. False: an error was printed.
bool ApplyConfigFile(CLI::App& app, const std::string& path) {
  std::string key;
  try {
    const YAML::Node root = YAML::LoadFile(path);
    if (!root.IsMap() && !root.IsNull()) throw std::runtime_error("expected lines of `setting: value`");
    for (const auto& entry : root) {
      key = entry.first.as<std::string>();
      std::string flag = key;
      std::replace(flag.begin(), flag.end(), '_', '-');
      CLI::Option* option = app.get_option_no_throw(flag == "model" ? flag : "--" + flag);
      if (option == nullptr || flag == "config")
        throw std::runtime_error("there is no such setting; see --help");
      option->default_val(entry.second.as<std::string>());
      option->required(false);
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "deeprack-coordinator: %s: %s%s%s\n", path.c_str(), key.c_str(),
                 key.empty() ? "" : ": ", e.what());
    return false;
  }
  return true;
}

}  // namespace

std::optional<int> ReadOptions(int argc, char** argv, CoordinatorOptions* options) {
  CLI::App app("Serves a model over an OpenAI-compatible API, with workers that attach to it.",
               "deeprack-coordinator");
  std::string config_file;
  AddFlags(app, *options, config_file);
  if (const std::string path = FindConfigFile(argc, argv); !path.empty() && !ApplyConfigFile(app, path)) {
    return kConfiguration;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kUsage;
  }
  return std::nullopt;
}

}  // namespace deeprack::coordinator
