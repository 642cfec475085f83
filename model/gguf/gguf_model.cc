#include "model/gguf/gguf_model.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/message_text.h"
#include "base/status_macros.h"

namespace deeprack::model {
namespace {

constexpr char kExtension[] = ".gguf";
constexpr int64_t kMaxFiles = 99'999;  // five digits
// "-00001-of-00003", which ends the name of each file of a split.
constexpr size_t kDigits = 5;
constexpr size_t kSuffixBytes = 1 + kDigits + 4 + kDigits;

struct SplitName {
  std::string prefix;
  int64_t number = 0;  // from 1
  int64_t count = 0;
};

std::string Stem(const std::string& path) {
  return absl::EndsWithIgnoreCase(path, kExtension) ? path.substr(0, path.size() - sizeof(kExtension) + 1)
                                                    : path;
}

std::optional<SplitName> ReadSplitName(const std::string& path) {
  const std::string stem = Stem(path);
  if (stem.size() < kSuffixBytes) return std::nullopt;
  const std::string suffix = stem.substr(stem.size() - kSuffixBytes);
  const std::string number = suffix.substr(1, kDigits);
  const std::string count = suffix.substr(kSuffixBytes - kDigits);
  const auto digits = [](const std::string& text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isdigit(c); });
  };
  SplitName name{.prefix = stem.substr(0, stem.size() - kSuffixBytes)};
  if (suffix[0] != '-' || suffix.substr(1 + kDigits, 4) != "-of-" || !digits(number) || !digits(count) ||
      !absl::SimpleAtoi(number, &name.number) || !absl::SimpleAtoi(count, &name.count)) {
    return std::nullopt;
  }
  return name;
}

std::string PathOf(const SplitName& name, int64_t number, int64_t count) {
  return absl::StrFormat("%s-%05d-of-%05d%s", name.prefix, number, count, kExtension);
}

// The value of a metadata key that every file of a split must have.
absl::StatusOr<int64_t> SplitKey(const GgufHeader& header, const std::string& path, const char* key) {
  const auto found = header.metadata.find(key);
  const std::optional<int64_t> value =
      found == header.metadata.end() ? std::nullopt : found->second.Integer();
  if (value && *value >= 0) return *value;
  return absl::DataLossError(absl::StrCat(path, ": ", key, " must be an integer from 0, and is ",
                                          found == header.metadata.end() ? "missing" : "none",
                                          "; the file is damaged: fetch it again"));
}

}  // namespace

bool IsGgufPath(const std::string& path) {
  std::error_code ignored;
  return absl::EndsWithIgnoreCase(path, kExtension) && !std::filesystem::is_directory(path, ignored);
}

std::string GgufModelName(const std::string& path) {
  const std::string file = std::filesystem::path(path).filename().string();
  const std::optional<SplitName> split = ReadSplitName(file);
  return split ? split->prefix : Stem(file);
}

absl::StatusOr<GgufModel> GgufModel::Open(const std::string& path) {
  DR_ASSIGN_OR_RETURN(MappedFile first, MappedFile::Open(path));
  DR_ASSIGN_OR_RETURN(GgufHeader header, ParseGgufHeader(first.bytes(), path));
  GgufModel model;
  model.metadata_ = header.metadata;
  if (!header.metadata.contains("split.count")) {
    DR_RETURN_IF_ERROR(model.Add(path, std::move(first), std::move(header)));
    return model;
  }

  DR_ASSIGN_OR_RETURN(const int64_t count, SplitKey(header, path, "split.count"));
  DR_ASSIGN_OR_RETURN(const int64_t number, SplitKey(header, path, "split.no"));
  DR_ASSIGN_OR_RETURN(const int64_t tensors, SplitKey(header, path, "split.tensors.count"));
  if (count > kMaxFiles) {
    return absl::DataLossError(
        absl::StrCat(path, ": split.count ", count, " is more than the ", kMaxFiles, " files of a split"));
  }
  const std::optional<SplitName> name = ReadSplitName(path);
  if (number != 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": file ", number + 1, " of ", count,
                                                   " of a split; give the first file",
                                                   name ? absl::StrCat(": ", PathOf(*name, 1, count)) : ""));
  }
  if (count > 1 && (!name || name->number != 1 || name->count != count)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": this is the first of ", count,
                                                   " files, which must keep their names: NAME",
                                                   PathOf({}, 1, count), " and so on"));
  }
  DR_RETURN_IF_ERROR(model.Add(path, std::move(first), std::move(header)));
  for (int64_t i = 1; i < count; ++i) {
    const std::string next = PathOf(*name, i + 1, count);
    absl::StatusOr<MappedFile> file = MappedFile::Open(next);
    if (absl::IsNotFound(file.status())) {
      return absl::DataLossError(
          absl::StrCat(next, ": the file is missing, it is file ", i + 1, " of ", count, "; fetch it"));
    }
    if (!file.ok()) return file.status();
    DR_ASSIGN_OR_RETURN(GgufHeader part, ParseGgufHeader(file->bytes(), next));
    DR_ASSIGN_OR_RETURN(const int64_t its_count, SplitKey(part, next, "split.count"));
    DR_ASSIGN_OR_RETURN(const int64_t its_number, SplitKey(part, next, "split.no"));
    if (its_count != count || its_number != i) {
      return absl::DataLossError(absl::StrCat(next, ": the file says that it is file ", its_number + 1,
                                              " of ", its_count, ", expected ", i + 1, " of ", count,
                                              "; the files are of different splits"));
    }
    DR_RETURN_IF_ERROR(model.Add(next, *std::move(file), std::move(part)));
  }
  if (static_cast<int64_t>(model.tensors_.size()) != tensors) {
    return absl::DataLossError(absl::StrCat(path, ": the files of the split have ", model.tensors_.size(),
                                            " tensors, but split.tensors.count says ", tensors,
                                            "; fetch the files again"));
  }
  return model;
}

absl::Status GgufModel::Add(const std::string& path, MappedFile file, GgufHeader header) {
  first_tensor_.push_back(tensors_.size());
  for (GgufTensor& tensor : header.tensors) {
    const auto [entry, is_new] = index_.try_emplace(tensor.name, tensors_.size());
    if (!is_new) {
      return absl::DataLossError(absl::StrCat(path, ": tensor ", QuotedName(tensor.name), " is also in ",
                                              FileOf(tensors_[entry->second]),
                                              "; the files are of different splits: fetch them again"));
    }
    tensors_.push_back(std::move(tensor));
  }
  paths_.push_back(path);
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

const GgufValue* GgufModel::Find(const std::string& key) const {
  const auto found = metadata_.find(key);
  return found == metadata_.end() ? nullptr : &found->second;
}

const GgufTensor* GgufModel::FindTensor(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

size_t GgufModel::FileIndex(const GgufTensor& tensor) const {
  const size_t position = static_cast<size_t>(&tensor - tensors_.data());
  DR_CHECK(position < tensors_.size());
  return static_cast<size_t>(std::upper_bound(first_tensor_.begin(), first_tensor_.end(), position) -
                             first_tensor_.begin()) -
         1;
}

std::span<const std::byte> GgufModel::BytesOfTensor(const GgufTensor& tensor) const {
  return files_[FileIndex(tensor)].bytes().subspan(static_cast<size_t>(tensor.begin),
                                                   static_cast<size_t>(tensor.bytes));
}

const std::string& GgufModel::FileOf(const GgufTensor& tensor) const { return paths_[FileIndex(tensor)]; }

void GgufModel::Prefetch(const GgufTensor& tensor, std::span<const std::byte> part) const {
  files_[FileIndex(tensor)].Prefetch(part);
}

}  // namespace deeprack::model
