#include "cli/quantize/quantize.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/control_group.h"
#include "base/status_macros.h"
#include "checkpoint/check/checkpoint_check.h"
#include "checkpoint/checkpoint_reader.h"
#include "checkpoint/gguf_writer.h"
#include "cli/quantize/metadata.h"
#include "cli/quantize/quant_type.h"
#include "cli/quantize/quantize_folder.h"
#include "cli/quantize/quantize_progress.h"
#include "cli/quantize/quantize_tensors.h"
#include "cli/quantize/weight_source.h"
#include "cli/serve/start_check.h"
#include "cli/terminal/fail.h"
#include "cli/terminal/terminal.h"

namespace deeprack::cli {
namespace {

absl::StatusOr<QuantType> CheckOptions(const QuantizeOptions& options) {
  const auto type = QuantTypeFromName(options.type);
  if (!type) {
    return absl::InvalidArgumentError(absl::StrCat("--type ", options.type,
                                                   " is unknown; there are: ", QuantTypeNames(),
                                                   ", and for a folder ", kFolderTypeNames));
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

  {
    QuantizeProgress progress(bytes, FormatBytes);
    DR_RETURN_IF_ERROR(QuantizeTensors(plan, source, ThreadsOf(options), *writer, progress));
  }
  return writer->Commit();
}

std::vector<WrittenTensor> WrittenOf(const std::vector<PlannedTensor>& plan) {
  std::vector<WrittenTensor> written;
  for (const PlannedTensor& tensor : plan) {
    written.push_back({.kind = tensor.kind,
                       .type = tensor.record.dtype,
                       .parameters = tensor.parameters(),
                       .bytes = BytesOf(tensor.record)});
  }
  return written;
}

// What a user should know of the MTP layers in the file, which are the first `count` of the model's.
std::string MtpNote(const QuantizeOptions& options, const model::ModelConfig& config,
                    const checkpoint::CheckpointReader& reader, int64_t count) {
  const int64_t all = config.num_nextn_predict_layers;
  if (options.without_mtp || all == 0) return "";
  if (count == 0) return absl::StrCat("without the MTP layer: ", checkpoint::WhyNoMtp(config, reader), "\n");
  return absl::StrCat("with ", all == 1 ? "the MTP layer" : absl::StrCat(count, " of ", all, " MTP layers"),
                      ", for drafts; older releases of llama.cpp refuse such a file: --no-mtp for them\n");
}

}  // namespace

int ThreadsOf(const QuantizeOptions& options) {
  if (options.threads > 0) return options.threads;
  return UsableProcessors(AllowedProcessorCount(), ReadControlGroup());
}

bool IsQuantisedAlready(const model::ModelConfig& config, const checkpoint::CheckpointReader& reader) {
  return config.group_quantization.has_value() || !reader.BlockTypes().empty();
}

std::string QuantisedAlreadyNote(const std::string& in) {
  return absl::StrCat("note: ", in, " was quantised already; what that lost is not back\n");
}

absl::StatusOr<std::string> RunQuantize(const QuantizeOptions& options) {
  if (const auto type = FolderTypeFromName(options.type)) return QuantizeToFolder(options, *type);
  DR_ASSIGN_OR_RETURN(const QuantType type, CheckOptions(options));
  DR_ASSIGN_OR_RETURN(const model::ModelConfig config, ReadModelConfig(options.in));
  const auto reader = checkpoint::CheckpointReader::Open(options.in);
  DR_RETURN_IF_ERROR(Damaged(reader.status()));
  const auto checked = checkpoint::CheckCheckpoint(config, *reader);
  DR_RETURN_IF_ERROR(Damaged(checked.status()));
  model::ModelConfig written = config;
  written.num_nextn_predict_layers = options.without_mtp ? 0 : checked->mtp_layers;
  checkpoint::GgufMetadata metadata;
  if (const absl::Status added = AddMetadata(options.in, written, type, metadata); !added.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(options.in, ": ", added.message()));
  }

  const std::vector<PlannedTensor> plan = PlanTensors(written, type);
  DR_RETURN_IF_ERROR(WriteFile(options, metadata, plan, WeightSource(&config, &*reader)));

  std::string said = QuantizationSummary(WrittenOf(plan));
  absl::StrAppend(&said, "written: ", options.out, "\n");
  absl::StrAppend(&said, MtpNote(options, config, *reader, written.num_nextn_predict_layers));
  if (IsQuantisedAlready(config, *reader)) absl::StrAppend(&said, QuantisedAlreadyNote(options.in));
  return said;
}

int Quantize(const QuantizeOptions& options) {
  const auto said = RunQuantize(options);
  if (!said.ok()) return FailByFlags(said.status());
  std::fputs(said->c_str(), stdout);
  return 0;
}

}  // namespace deeprack::cli
