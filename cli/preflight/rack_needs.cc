#include "cli/preflight/rack_needs.h"

#include <string>

#include "base/status_macros.h"
#include "checkpoint/checkpoint_reader.h"
#include "cli/plan/cluster_plan.h"
#include "cli/plan/planned_device.h"
#include "cli/serve/start_check.h"
#include "proto/preflight.pb.h"

namespace deeprack::cli {
namespace {

// As many as --hosts gives to `host`, which may stand there several times.
int32_t SlotsOf(const Settings& settings, const std::string& host) {
  int32_t slots = 0;
  for (const HostSlots& one : settings.hosts) slots += one.host == host ? one.slots : 0;
  return slots;
}

bool RunsOnCards(const Settings& settings, const preflight::Rack& rack) {
  if (settings.backend != "auto") return settings.backend == "cuda";
  bool all = true, any = false;
  for (const preflight::Host& host : rack.hosts()) {
    if (!host.failure().empty() || host.ranks_size() == 0) continue;
    any = true;
    all = all && host.report().cards_size() > 0;
  }
  return any && all;
}

}  // namespace

void AssignRanks(const Settings& settings, preflight::Rack& rack) {
  const int32_t world = settings.layout().world_size();
  int32_t slots = 0;
  for (const preflight::Host& host : rack.hosts()) slots += SlotsOf(settings, host.name());
  int32_t next = 0;
  for (int i = 0; i < rack.hosts_size(); ++i) {
    preflight::Host& host = *rack.mutable_hosts(i);
    const int32_t left = rack.hosts_size() - i;  // hosts, this one included
    int32_t count = slots == world ? SlotsOf(settings, host.name()) : (world - next + left - 1) / left;
    for (; count > 0; --count) host.add_ranks(next++);
  }
}

absl::StatusOr<RackNeeds> CountNeeds(const Settings& settings, const preflight::Rack& rack) {
  RackNeeds needs{.on_cards = RunsOnCards(settings, rack),
                  .cache_given = settings.kv_bytes > 0,
                  .packed = !settings.packed.empty()};
  DR_ASSIGN_OR_RETURN(const model::ModelConfig config, ReadModelConfig(settings.model));
  const PlannedDevice device = PlannedDeviceOf(needs.on_cards ? "cuda" : "cpu", settings.unverified_kernels);
  // Weights that cannot be read are counted by config.json: the check of the model names them.
  sizing::WeightForms forms = sizing::WeightFormsOf(config, device.kernels);
  if (settings.load_format != "dummy") {
    const auto reader = checkpoint::CheckpointReader::Open(settings.model);
    if (reader.ok()) {
      DR_ASSIGN_OR_RETURN(forms, sizing::WeightFormsOf(config, *reader, device.kernels));
    }
  }
  DR_ASSIGN_OR_RETURN(const ClusterPlan plan,
                      PlanCluster(config, forms, device, settings, /*device_memory=*/0));
  for (const sizing::RankFootprint& takes : plan.ranks) {
    needs.ranks.push_back({.fixed = takes.fixed(),
                           .cache = settings.kv_bytes > 0 ? settings.kv_bytes : takes.page,
                           .weights = takes.weights});
  }
  return needs;
}

}  // namespace deeprack::cli
