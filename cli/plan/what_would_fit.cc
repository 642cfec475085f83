#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/plan/plan.h"
#include "cli/terminal/terminal.h"
#include "settings/setting.h"

namespace deeprack::cli {
namespace {

constexpr int32_t kShortStep = 512;  // tokens

// Single changes of the options, and the flags that make them.
std::vector<Settings> ChangesOf(const Settings& options, std::vector<std::string>& flags) {
  std::vector<Settings> changes;
  const auto change = [&](const std::function<std::string(Settings&)>& make) {
    Settings changed = options;
    flags.push_back(make(changed));
    changes.push_back(changed);
  };
  if (options.max_step_tokens > kShortStep) {
    change([](Settings& to) {
      to.max_step_tokens = kShortStep;
      return absl::StrCat(FlagOf(&Settings::max_step_tokens), " ", kShortStep);
    });
  }
  if (options.prefill_attention != "absorbed") {
    change([](Settings& to) {
      to.prefill_attention = "absorbed";
      return absl::StrCat(FlagOf(&Settings::prefill_attention), " absorbed");
    });
  }
  for (int32_t Settings::*ranks : {&Settings::tp, &Settings::pp, &Settings::dp}) {
    change([&](Settings& to) {
      to.*ranks *= 2;
      return absl::StrCat(FlagOf(ranks), " ", to.*ranks, " (", FormatRanks(to.layout().world_size()), ")");
    });
  }
  return changes;
}

}  // namespace

std::string WhatWouldFit(const model::ModelConfig& config, const sizing::WeightForms& forms,
                         const PlannedDevice& device, const Settings& options, int64_t device_memory) {
  std::vector<std::string> flags, fitting;
  const std::vector<Settings> changes = ChangesOf(options, flags);
  for (size_t i = 0; i < changes.size(); ++i) {
    const auto plan = PlanCluster(config, forms, device, changes[i], device_memory);
    if (plan.ok() && CheckFits(*plan).ok()) fitting.push_back(flags[i]);
  }
  if (fitting.empty()) {
    return "Twice the ranks, or shorter steps, do not help alone: use more ranks, devices with more memory, "
           "or "
           "a model of fewer bits a weight (deeprack quantize)";
  }
  return absl::StrCat("Any of these would fit: ", absl::StrJoin(fitting, ", "));
}

}  // namespace deeprack::cli
