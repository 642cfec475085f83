#include "checkpoint/checkpoint_reader.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/mapped_file.h"
#include "base/message_text.h"
#include "base/status_macros.h"
#include "checkpoint/safetensors_index.h"

namespace deeprack::checkpoint {
namespace {

std::string FileName(const SafetensorsFile& file) {
  return std::filesystem::path(file.path()).filename().string();
}

std::string InFolder(const std::string& folder, const std::string& name) {
  return (std::filesystem::path(folder) / name).string();
}

}  // namespace

absl::StatusOr<CheckpointReader> CheckpointReader::Open(const std::string& folder) {
  if (model::IsGgufPath(folder)) {
    CheckpointReader reader(folder);
    DR_ASSIGN_OR_RETURN(reader.gguf_, GgufTensors::Open(folder));
    return reader;
  }
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) {
    return absl::NotFoundError(absl::StrCat(folder, ": no such folder; give one that holds ", kIndexFileName,
                                            " or ", kSingleFileName));
  }
  CheckpointReader reader(folder);
  const std::string index = InFolder(folder, kIndexFileName);
  const std::string single = InFolder(folder, kSingleFileName);
  if (std::filesystem::exists(index, ignored)) {
    DR_RETURN_IF_ERROR(reader.OpenIndexed(index));
  } else if (std::filesystem::exists(single, ignored)) {
    DR_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(single));
    DR_RETURN_IF_ERROR(reader.AddFile(std::move(file)));
  } else {
    return absl::NotFoundError(
        absl::StrCat(folder, ": the folder holds neither ", kIndexFileName, " nor ", kSingleFileName));
  }
  return reader;
}

absl::StatusOr<CheckpointReader> CheckpointReader::Open(const std::string& path,
                                                        const model::ModelConfig& config,
                                                        model::LoadFormat format) {
  if (format != model::LoadFormat::kDummy) return Open(path);
  if (model::IsGgufPath(path)) {
    return absl::InvalidArgumentError(absl::StrCat(path,
                                                   ": a GGUF cannot have dummy weights: give a model folder "
                                                   "with config.json, or load the GGUF's own weights"));
  }
  CheckpointReader reader(path);
  DR_ASSIGN_OR_RETURN(reader.dummy_, DummyTensors::Create(config));
  return reader;
}

absl::Status CheckpointReader::OpenIndexed(const std::string& index_path) {
  DR_ASSIGN_OR_RETURN(const MappedFile index, MappedFile::Open(index_path));
  DR_ASSIGN_OR_RETURN(const auto weight_map, ParseSafetensorsIndex(index.bytes(), index_path));

  std::set<std::string> shards;
  for (const auto& [tensor, shard] : weight_map) shards.insert(shard);
  for (const std::string& shard : shards) {
    absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(InFolder(folder_, shard));
    if (absl::IsNotFound(file.status())) {
      return absl::NotFoundError(absl::StrCat(folder_, ": the shard ", QuotedName(shard), " that ",
                                              kIndexFileName, " names is missing; fetch it"));
    }
    if (!file.ok()) return file.status();
    for (const std::string& tensor : file->names()) {
      const auto indexed = weight_map.find(tensor);
      if (indexed == weight_map.end()) {
        return absl::DataLossError(
            absl::StrCat(file->path(), ": holds tensor ", QuotedName(tensor), ", which ", kIndexFileName,
                         " does not name; index and shards are of different checkpoints"));
      }
      if (indexed->second != shard) {
        return absl::DataLossError(absl::StrCat(file->path(), ": holds tensor ", QuotedName(tensor),
                                                ", which ", kIndexFileName, " says is in ", indexed->second,
                                                "; index and shards are of different checkpoints"));
      }
    }
    DR_RETURN_IF_ERROR(AddFile(*std::move(file)));
  }
  for (const auto& [tensor, shard] : weight_map) {
    if (!file_of_.contains(tensor)) {
      return absl::DataLossError(absl::StrCat(InFolder(folder_, shard), ": tensor ", QuotedName(tensor),
                                              ", which ", kIndexFileName,
                                              " says is here, is missing; fetch the shard again"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckpointReader::AddFile(SafetensorsFile file) {
  for (const std::string& tensor : file.names()) {
    const auto [entry, is_new] = file_of_.try_emplace(tensor, files_.size());
    if (!is_new) {
      return absl::DataLossError(absl::StrCat(file.path(), ": tensor ", QuotedName(tensor), " is also in ",
                                              FileName(files_[entry->second])));
    }
    const TensorView* view = file.Find(tensor);
    if (view != nullptr) total_bytes_ += static_cast<int64_t>(view->bytes.size());
  }
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

const TensorView* CheckpointReader::Find(const std::string& name) const {
  if (gguf_) return gguf_->Find(name);
  if (dummy_) return dummy_->Find(name);
  const auto found = file_of_.find(name);
  return found == file_of_.end() ? nullptr : files_[found->second].Find(name);
}

std::string CheckpointReader::UnreadType(const std::string& name) const {
  if (gguf_) return gguf_->UnreadType(name);
  const auto found = file_of_.find(name);
  return found == file_of_.end() ? "" : files_[found->second].UnreadType(name);
}

absl::StatusOr<TensorView> CheckpointReader::Get(const std::string& name) const {
  if (const TensorView* tensor = Find(name)) return *tensor;
  return absl::NotFoundError(absl::StrCat(folder_, ": tensor ", name, " is missing"));
}

std::string CheckpointReader::FileOf(const std::string& name) const {
  if (gguf_) return gguf_->FileOf(name);
  const auto found = file_of_.find(name);
  return found == file_of_.end() ? "" : files_[found->second].path();
}

void CheckpointReader::Prefetch(const std::string& name) const {
  if (gguf_) return gguf_->Prefetch(name);
  const auto found = file_of_.find(name);
  if (found == file_of_.end()) return;
  const SafetensorsFile& file = files_[found->second];
  if (const TensorView* view = file.Find(name)) file.Prefetch(*view);
}

std::vector<std::string> CheckpointReader::names() const {
  std::vector<std::string> names;
  if (gguf_) names = gguf_->names();
  if (dummy_) names = dummy_->names();
  for (const auto& [name, file] : file_of_) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

int64_t CheckpointReader::tensor_count() const {
  if (dummy_) return dummy_->tensor_count();
  return gguf_ ? gguf_->tensor_count() : static_cast<int64_t>(file_of_.size());
}

int64_t CheckpointReader::total_bytes() const {
  if (dummy_) return dummy_->total_bytes();
  return gguf_ ? gguf_->total_bytes() : total_bytes_;
}

model::TensorTypes CheckpointReader::BlockTypes() const {
  model::TensorTypes types;
  for (const std::string& name : names()) {
    const TensorView* tensor = Find(name);
    if (tensor != nullptr && IsBlockFormat(tensor->dtype)) types.Set(name, tensor->dtype);
  }
  return types;
}

}  // namespace deeprack::checkpoint
