#include "cli/plan/plan.h"

#include <cstdio>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "checkpoint/checkpoint_reader.h"
#include "cli/serve/start_check.h"
#include "cli/terminal/fail.h"
#include "model/gguf/gguf_model.h"

namespace deeprack::cli {
namespace {

// From the headers of the weights. From the config alone for dummy weights, and if weights of a folder are
// missing. A GGUF contains its config, so a GGUF that cannot be read is an error.
absl::StatusOr<sizing::WeightForms> FormsOf(const model::ModelConfig& config, const Settings& options,
                                            const PlannedDevice& device) {
  if (options.load_format == "dummy") return sizing::WeightFormsOf(config, device.kernels);
  const auto reader = checkpoint::CheckpointReader::Open(options.model);
  if (reader.ok()) return sizing::WeightFormsOf(config, *reader, device.kernels);
  if (model::IsGgufPath(options.model)) return reader.status();
  std::fprintf(stderr, "deeprack: the weights are not read (%s): counted by config.json\n",
               std::string(reader.status().message()).c_str());
  return sizing::WeightFormsOf(config, device.kernels);
}

// Prints the table.
absl::Status PrintPlan(const Settings& options, const PlanOptions& with) {
  DR_ASSIGN_OR_RETURN(const model::ModelConfig config, ReadModelConfig(options.model));
  const PlannedDevice device = PlannedDeviceOf(options.backend, options.unverified_kernels);
  DR_ASSIGN_OR_RETURN(const sizing::WeightForms forms, FormsOf(config, options, device));
  DR_ASSIGN_OR_RETURN(const ClusterPlan plan,
                      PlanCluster(config, forms, device, options, with.device_memory));
  std::fputs(PlanTable(plan, device).c_str(), stdout);
  const absl::Status fits = CheckFits(plan);
  if (fits.ok()) return fits;
  return absl::FailedPreconditionError(
      absl::StrCat(fits.message(), ". ", WhatWouldFit(config, forms, device, options, with.device_memory)));
}

}  // namespace

int Plan(const Settings& options, const PlanOptions& with) {
  const absl::Status status = PrintPlan(options, with);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace deeprack::cli
