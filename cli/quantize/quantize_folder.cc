#include "cli/quantize/quantize_folder.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/block_formats.h"
#include "base/mapped_file.h"
#include "base/status_macros.h"
#include "checkpoint/check/checkpoint_check.h"
#include "checkpoint/group_quantized/compressed_tensors_writer.h"
#include "cli/quantize/parallel_units.h"
#include "cli/quantize/quantize_progress.h"
#include "cli/quantize/weight_policy.h"
#include "cli/quantize/weight_source.h"
#include "cli/serve/start_check.h"
#include "model/gguf/gguf_model.h"
#include "model/tensors/tensor_registry.h"

namespace deeprack::cli {
namespace {

constexpr int64_t kUnitElements = 2 << 20;
constexpr char kConfigFileName[] = "config.json";
// The largest file beside the weights that is copied. A larger file is not text.
constexpr uintmax_t kMaxCopiedBytes = 256 << 20;
constexpr const char* kCopiedExtensions[] = {".json", ".jinja", ".txt", ".model", ".md"};

struct FolderPlan {
  std::vector<checkpoint::FolderTensor> tensors;
  std::vector<model::TensorKind> kinds;  // the kind of each tensor
  std::vector<std::string> unquantised;  // names of modules
};

// The type of a tensor that is not quantised. F32 and F16 stay.
DType PlainType(DType stored) {
  return stored == DType::kF32 || stored == DType::kF16 ? stored : DType::kBF16;
}

// True for the copies of embedding and head that an MTP layer may lack.
bool MayBeAbsent(model::TensorKind kind) {
  return kind == model::TensorKind::kMtpEmbedTokens || kind == model::TensorKind::kMtpHead;
}

FolderPlan PlanFolder(const model::ModelConfig& config, const checkpoint::CheckpointReader& reader,
                      int64_t mtp_layers, DType type, const WeightSource& source) {
  FolderPlan plan;
  plan.unquantised = {"lm_head"};
  for (model::TensorSpec& spec : model::TensorsOf(config)) {
    if (spec.layer >= config.num_hidden_layers + mtp_layers) continue;
    if (MayBeAbsent(spec.kind) && reader.Find(spec.name) == nullptr) continue;
    const bool quantised = InFolderPolicy(config, spec, type);
    if (spec.quantized && !quantised) {
      plan.unquantised.emplace_back(absl::StripSuffix(spec.name, ".weight"));
    }
    plan.kinds.push_back(spec.kind);
    plan.tensors.push_back({.name = spec.name,
                            .dtype = quantised ? type : PlainType(source.Type(spec.name)),
                            .shape = std::move(spec.shape)});
  }
  return plan;
}

// Some rows of a tensor.
struct Unit {
  size_t tensor = 0;
  int64_t row_begin = 0;
  int64_t rows = 0;
};

std::vector<Unit> UnitsOf(const FolderPlan& plan) {
  constexpr int64_t kStep = checkpoint::CompressedTensorsWriter::kRowStep;
  std::vector<Unit> units;
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const std::vector<int64_t>& shape = plan.tensors[i].shape;
    const int64_t all = shape.size() > 1 ? shape[0] : 1;
    const int64_t step = std::max(kStep, kUnitElements / shape.back() / kStep * kStep);
    for (int64_t row = 0; row < all; row += step) units.push_back({i, row, std::min(step, all - row)});
  }
  return units;
}

absl::Status WriteTensors(const FolderPlan& plan, const WeightSource& source, int threads,
                          checkpoint::CompressedTensorsWriter& writer) {
  int64_t weights = 0;
  for (const checkpoint::FolderTensor& tensor : plan.tensors) {
    int64_t elements = 1;
    for (const int64_t dimension : tensor.shape) elements *= dimension;
    weights += elements;
  }
  const std::vector<Unit> units = UnitsOf(plan);
  QuantizeProgress progress(weights, FormatCount);
  return ForUnits(units.size(), threads, [&]() -> UnitWork {
    return [&, values = std::vector<float>()](size_t index) mutable -> absl::Status {
      const Unit& unit = units[index];
      const checkpoint::FolderTensor& tensor = plan.tensors[unit.tensor];
      values.resize(static_cast<size_t>(unit.rows * tensor.shape.back()));
      DR_RETURN_IF_ERROR(source.ReadRows(tensor.name, unit.row_begin, unit.rows, values.data()));
      // A tensor without blocks that keeps its type is copied as stored. ReadRows above only checked it.
      const absl::Status written =
          source.Type(tensor.name) == tensor.dtype && !IsBlockFormat(tensor.dtype)
              ? writer.WriteStored(unit.tensor, unit.row_begin,
                                   source.StoredRows(tensor.name, unit.row_begin, unit.rows))
              : writer.WriteRows(unit.tensor, unit.row_begin, unit.rows, values.data());
      DR_RETURN_IF_ERROR(written);
      progress.Add(static_cast<int64_t>(values.size()));
      return absl::OkStatus();
    };
  });
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  DR_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
}

// Copies all files except the weights, their index and the config.
absl::Status CopyTexts(const std::string& in, const std::string& out) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(in, error)) {
    const std::string name = entry.path().filename().string();
    const bool is_text = std::any_of(std::begin(kCopiedExtensions), std::end(kCopiedExtensions),
                                     [&](const char* extension) { return absl::EndsWith(name, extension); });
    if (!is_text || name == kConfigFileName || absl::EndsWith(name, ".index.json")) continue;
    if (!entry.is_regular_file(error) || entry.file_size(error) > kMaxCopiedBytes) continue;
    std::filesystem::copy_file(entry.path(), std::filesystem::path(out) / name,
                               std::filesystem::copy_options::overwrite_existing, error);
    if (error) return absl::UnavailableError(absl::StrCat(out, "/", name, ": ", error.message()));
  }
  return error ? absl::UnavailableError(absl::StrCat(in, ": ", error.message())) : absl::OkStatus();
}

absl::Status Damaged(const absl::Status& status) {
  return status.ok() ? status : absl::DataLossError(status.message());
}

}  // namespace

std::optional<DType> FolderTypeFromName(std::string_view name) {
  const absl::string_view text(name.data(), name.size());
  if (absl::EqualsIgnoreCase(text, "INT4")) return DType::kInt4G128;
  if (absl::EqualsIgnoreCase(text, "INT8")) return DType::kInt8G128;
  return std::nullopt;
}

absl::StatusOr<std::string> QuantizeToFolder(const QuantizeOptions& options, DType type) {
  if (model::IsGgufPath(options.in) || model::IsGgufPath(options.out)) {
    return absl::InvalidArgumentError(absl::StrCat("--type ", options.type,
                                                   " makes a folder of a folder: give two folders, or for a "
                                                   "GGUF another --type"));
  }
  DR_ASSIGN_OR_RETURN(const model::ModelConfig config, ReadModelConfig(options.in));
  const auto reader = checkpoint::CheckpointReader::Open(options.in);
  DR_RETURN_IF_ERROR(Damaged(reader.status()));
  const auto checked = checkpoint::CheckCheckpoint(config, *reader);
  DR_RETURN_IF_ERROR(Damaged(checked.status()));
  DR_ASSIGN_OR_RETURN(const std::string config_json,
                      ReadText(absl::StrCat(options.in, "/", kConfigFileName)));

  const WeightSource source(&config, &*reader);
  const int64_t mtp_layers = options.without_mtp ? 0 : checked->mtp_layers;
  const FolderPlan plan = PlanFolder(config, *reader, mtp_layers, type, source);
  if (std::none_of(plan.tensors.begin(), plan.tensors.end(),
                   [](const auto& tensor) { return IsBlockFormat(tensor.dtype); })) {
    return absl::FailedPreconditionError(absl::StrCat(options.in, ": no weight would become ", options.type,
                                                      ": it needs rows of whole groups of ",
                                                      BlockElements(type), "; choose another --type"));
  }
  const checkpoint::CompressedTensorsOptions layout;
  DR_ASSIGN_OR_RETURN(const auto writer,
                      checkpoint::CompressedTensorsWriter::Create(options.out, plan.tensors, layout));
  DR_RETURN_IF_ERROR(WriteTensors(plan, source, ThreadsOf(options), *writer));
  DR_RETURN_IF_ERROR(CopyTexts(options.in, options.out));
  DR_RETURN_IF_ERROR(writer->Commit(config_json, plan.unquantised));

  std::vector<WrittenTensor> written;
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const checkpoint::FolderTensor& tensor = plan.tensors[i];
    int64_t parameters = 1;
    for (const int64_t dimension : tensor.shape) parameters *= dimension;
    written.push_back({.kind = plan.kinds[i],
                       .type = tensor.dtype,
                       .parameters = parameters,
                       .bytes = checkpoint::StoredBytes(tensor, layout.symmetric)});
  }
  std::string said = QuantizationSummary(written);
  absl::StrAppend(&said, "written: ", options.out, "\n");
  if (IsQuantisedAlready(config, *reader)) absl::StrAppend(&said, QuantisedAlreadyNote(options.in));
  return said;
}

}  // namespace deeprack::cli
