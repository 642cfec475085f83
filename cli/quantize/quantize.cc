#include "cli/quantize/quantize.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "checkpoint/check/checkpoint_check.h"
#include "checkpoint/checkpoint_reader.h"
#include "checkpoint/gguf_writer.h"
#include "cli/quantize/metadata.h"
#include "cli/quantize/quantize_tensors.h"
#include "cli/quantize/weight_source.h"
#include "cli/serve/preflight.h"
#include "cli/terminal/exit_code.h"
#include "cli/terminal/progress.h"
#include "cli/terminal/terminal.h"

namespace deeprack::cli {
namespace {

constexpr absl::Duration kQuiet = absl::Seconds(2);           // what is done by then shows no progress
constexpr absl::Duration kBetween = absl::Milliseconds(100);  // updates of the bar

absl::StatusOr<QuantType> CheckOptions(const QuantizeOptions& options) {
  const auto type = QuantTypeFromName(options.type);
  if (!type) {
    return absl::InvalidArgumentError(
        absl::StrCat("--type ", options.type, " is unknown; there are: ", QuantTypeNames()));
  }
  if (!absl::EndsWithIgnoreCase(options.out, ".gguf")) {
    return absl::InvalidArgumentError(absl::StrCat(options.out, ": the file to write must be named *.gguf"));
  }
  return *type;
}

absl::Status Damaged(const absl::Status& status) {
  return status.ok() ? status : absl::DataLossError(status.message());
}

absl::Status WriteFile(const QuantizeOptions& options, const checkpoint::GgufMetadata& metadata,
                       const std::vector<PlannedTensor>& plan, const WeightSource& source) {
  std::vector<checkpoint::GgufTensorRecord> records;
  int64_t bytes = 0;
  for (const PlannedTensor& tensor : plan) {
    records.push_back(tensor.record);
    bytes += BytesOf(tensor.record);
  }
  DR_ASSIGN_OR_RETURN(const auto writer, checkpoint::CreateGguf(options.out, metadata, records));

  const absl::Time start = absl::Now();
  Progress progress("quantizing", IsTerminal(STDERR_FILENO), start);
  absl::Time last = start;
  const auto report = [&](int64_t written) {
    const absl::Time now = absl::Now();
    if (now - start < kQuiet || (now - last < kBetween && written < bytes)) return;
    last = now;
    std::fputs(progress.Update(written, bytes, now).c_str(), stderr);
  };
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const absl::Status status =
      QuantizeTensors(plan, source, options.threads > 0 ? options.threads : cores, *writer, report);
  std::fputs(progress.Finish().c_str(), stderr);
  DR_RETURN_IF_ERROR(status);
  return writer->Commit();
}

}  // namespace

absl::StatusOr<std::string> RunQuantize(const QuantizeOptions& options) {
  DR_ASSIGN_OR_RETURN(const QuantType type, CheckOptions(options));
  DR_ASSIGN_OR_RETURN(const model::ModelConfig config, ReadModelConfig(options.in));
  if (config.group_quantization) {
    return absl::FailedPreconditionError(absl::StrCat(
        options.in,
        ": its weights are integers in groups (config.json's quantization_config), which are not "
        "read here: start from the checkpoint that they were made of"));
  }
  checkpoint::GgufMetadata metadata;
  if (const absl::Status added = AddMetadata(options.in, config, type, metadata); !added.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(options.in, ": ", added.message()));
  }
  const auto reader = checkpoint::CheckpointReader::Open(options.in);
  DR_RETURN_IF_ERROR(Damaged(reader.status()));
  const auto checked = checkpoint::CheckCheckpoint(config, *reader);
  DR_RETURN_IF_ERROR(Damaged(checked.status()));

  const std::vector<PlannedTensor> plan = PlanTensors(config, type);
  DR_RETURN_IF_ERROR(WriteFile(options, metadata, plan, WeightSource(&*reader)));

  std::string said = QuantizationSummary(plan);
  absl::StrAppend(&said, "written: ", options.out, "\n");
  if (checked->has_mtp) {
    absl::StrAppend(&said, "left out: the multi-token-prediction layer, which GGUF's deepseek2 lacks\n");
  }
  if (!reader->BlockTypes().empty()) {
    absl::StrAppend(&said, "note: ", options.in, " was quantised already; what that lost is not back\n");
  }
  return said;
}

int Quantize(const QuantizeOptions& options) {
  const auto said = RunQuantize(options);
  if (said.ok()) {
    std::fputs(said->c_str(), stdout);
    return 0;
  }
  std::fprintf(stderr, "deeprack: %s\n", std::string(said.status().message()).c_str());
  const bool usage = absl::IsInvalidArgument(said.status());
  return static_cast<int>(usage ? ExitCode::kUsage : ExitCodeOf(said.status()));
}

}  // namespace deeprack::cli
