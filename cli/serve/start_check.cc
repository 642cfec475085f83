#include "cli/serve/start_check.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "base/rpc/address.h"
#include "base/rpc/cluster_tls.h"
#include "base/status_macros.h"
#include "checkpoint/check/checkpoint_check.h"
#include "checkpoint/checkpoint_reader.h"
#include "cli/serve/machine_check.h"
#include "cli/terminal/terminal.h"
#include "model/config/kv_cache_type.h"
#include "model/files/model_files.h"
#include "model/gguf/gguf_model.h"
#include "model/layout/layout.h"
#include "settings/setting.h"

namespace deeprack::cli {
namespace {

absl::Status CheckOptions(const Settings& options) {
  if (options.load_format == "dummy" && !options.packed.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(FlagOf(&Settings::load_format), " dummy does not go with ", FlagOf(&Settings::packed),
                     " ", options.packed, ": it would take the place of the model's packed weights"));
  }
  if (options.layouts.size() > 1 && options.workers == "local") {
    return absl::FailedPreconditionError(
        absl::StrCat(FlagOf(&Settings::layouts), " ", TextOf(*FindSetting("layouts"), options),
                     " needs ranks that start one by one: ranks of mpirun start and end together. Use ",
                     FlagOf(&Settings::workers), " external"));
  }
  if (options.hosts.empty()) return absl::OkStatus();
  if (options.workers == "external") {
    return absl::FailedPreconditionError(
        "--hosts starts the ranks itself; it does not go with --workers external");
  }
  const int64_t slots = std::accumulate(options.hosts.begin(), options.hosts.end(), int64_t{0},
                                        [](int64_t sum, const HostSlots& host) { return sum + host.slots; });
  const int32_t ranks = options.layout().world_size();
  if (slots != ranks) {
    return absl::FailedPreconditionError(absl::StrCat("--hosts has room for ", FormatRanks(slots), "; ",
                                                      model::ToString(options.layout()), " has ", ranks));
  }
  return absl::OkStatus();
}

// The address where workers reach the coordinator: the coordinator must accept it, and workers on other
// machines must be able to reach it.
absl::Status CheckClusterAddress(const Settings& options) {
  if (!options.cluster_tls.empty()) {
    if (const auto tls = LoadClusterTls(options.cluster_tls); !tls.ok()) return tls.status();
  }
  const auto address = ParseHostPort(options.cluster_address);
  if (!address.ok()) {
    return absl::FailedPreconditionError(absl::StrCat("--cluster-address: ", address.status().message()));
  }
  const auto other = std::find_if(options.hosts.begin(), options.hosts.end(),
                                  [](const HostSlots& host) { return !IsLoopback(host.host); });
  if (other != options.hosts.end() && (IsWildcard(address->host) || IsLoopback(address->host))) {
    return absl::FailedPreconditionError(absl::StrCat(
        "--cluster-address ", options.cluster_address, ": --hosts names ", other->host,
        ", so --cluster-address must be the address of this machine that the others can reach, host:port"));
  }
  return CheckProtected(*address, !options.cluster_tls.empty());
}

absl::Status CheckDummyWeights(const std::string& path) {
  if (!model::IsGgufPath(path)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": ", FlagOf(&Settings::load_format),
                   " dummy needs a model folder with config.json; a GGUF holds its own weights"));
}

absl::Status CheckWeights(const model::ModelConfig& config, const std::string& path) {
  const auto damaged = [](const absl::Status& status) { return absl::DataLossError(status.message()); };
  const auto reader = checkpoint::CheckpointReader::Open(path);
  if (!reader.ok()) return damaged(reader.status());
  const auto summary = checkpoint::CheckCheckpoint(config, *reader);
  if (!summary.ok()) return damaged(summary.status());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<model::ModelConfig> ReadModelConfig(const std::string& path) {
  absl::StatusOr<model::ModelConfig> config = model::LoadModelConfig(path);
  if (config.ok() || absl::IsDataLoss(config.status())) return config;
  return absl::FailedPreconditionError(config.status().message());
}

absl::Status CheckSuits(const model::ModelConfig& config, const Settings& options) {
  if (const absl::Status layout = model::ValidateLayout(config, options.layout()); !layout.ok()) {
    return absl::FailedPreconditionError(layout.message());
  }
  for (const model::Layout& smaller : options.layouts) {
    if (const absl::Status layout = model::ValidateLayout(config, smaller); !layout.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat(FlagOf(&Settings::layouts), ", ", model::ToString(smaller), ": ", layout.message()));
    }
  }
  DR_ASSIGN_OR_RETURN(const DType cache, model::KvCacheTypeOf(options.kv_cache_dtype, DType::kBF16));
  if (const absl::Status type = model::CheckKvCacheType(config, cache); !type.ok()) {
    return absl::FailedPreconditionError(type.message());
  }
  if (options.max_context > config.max_position_embeddings) {
    return absl::FailedPreconditionError(absl::StrCat(FlagOf(&Settings::max_context), " ",
                                                      options.max_context, ": this model has ",
                                                      config.max_position_embeddings, " positions"));
  }
  return absl::OkStatus();
}

absl::Status CheckCluster(const Settings& options) {
  DR_RETURN_IF_ERROR(CheckOptions(options));
  DR_RETURN_IF_ERROR(CheckClusterAddress(options));
  return CheckMachine(options);
}

absl::Status CheckModel(const Settings& options) {
  DR_ASSIGN_OR_RETURN(const model::ModelConfig config, ReadModelConfig(options.model));
  DR_RETURN_IF_ERROR(CheckSuits(config, options));
  if (options.load_format == "dummy") return CheckDummyWeights(options.model);
  return CheckWeights(config, options.model);
}

absl::Status CheckStart(const Settings& options) {
  DR_RETURN_IF_ERROR(CheckCluster(options));
  return CheckModel(options);
}

}  // namespace deeprack::cli
