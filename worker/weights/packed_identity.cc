#include "worker/weights/packed_identity.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/files/model_files.h"
#include "model/gguf/gguf_model.h"

namespace deeprack::worker {
namespace {

absl::Status AddFile(const std::string& path, DigestOfValues& digest) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    return absl::UnavailableError(absl::StrCat(path, ": cannot examine: ", std::strerror(errno)));
  }
  digest.Add(std::filesystem::path(path).filename().string());
  digest.Add(int64_t{info.st_size});
  digest.Add(int64_t{info.st_mtim.tv_sec});
  digest.Add(int64_t{info.st_mtim.tv_nsec});
  return absl::OkStatus();
}

Digest DigestOfTensors(const sizing::WeightManifest& manifest) {
  DigestOfValues digest;
  for (const sizing::PackedTensor& tensor : manifest.tensors) {
    for (const int64_t number :
         {static_cast<int64_t>(tensor.kind), static_cast<int64_t>(tensor.form), tensor.layer, tensor.expert,
          tensor.count, tensor.rows, tensor.cols, tensor.col_begin, tensor.value_bytes, tensor.scale_bytes,
          static_cast<int64_t>(tensor.layout)}) {
      digest.Add(number);
    }
    digest.Add(Name(tensor.type));
    digest.Add(static_cast<int64_t>(tensor.parts.size()));
    for (const sizing::WeightPart& part : tensor.parts) {
      digest.Add(part.tensor.name);
      for (const int64_t number :
           {part.slice.row_begin, part.slice.rows, part.slice.col_begin, part.slice.cols, part.first_row}) {
        digest.Add(number);
      }
    }
  }
  return digest.Finish();
}

}  // namespace

absl::StatusOr<Digest> DigestOfCheckpoint(const checkpoint::CheckpointReader& reader) {
  std::set<std::string> files;
  for (const std::string& tensor : reader.names()) {
    if (const std::string file = reader.FileOf(tensor); !file.empty()) files.insert(file);
  }
  // The config decides how tensors are packed. A GGUF contains its config.
  if (!model::IsGgufPath(reader.folder())) {
    files.insert((std::filesystem::path(reader.folder()) / "config.json").string());
  }
  DigestOfValues digest;
  for (const std::string& file : files) DR_RETURN_IF_ERROR(AddFile(file, digest));
  return digest.Finish();
}

absl::StatusOr<Digest> DigestOfHeaders(const checkpoint::CheckpointReader& reader) {
  DigestOfValues digest;
  std::set<std::string> files;
  for (const std::string& name : reader.names()) {
    digest.Add(name);
    const checkpoint::TensorView* tensor = reader.Find(name);
    if (tensor == nullptr) continue;  // a part of a GGUF's config, such as rope_freqs.weight
    const std::string file = reader.FileOf(name);
    if (!file.empty()) files.insert(file);
    digest.Add(std::filesystem::path(file).filename().string());
    digest.Add(Name(tensor->dtype));
    digest.Add(static_cast<int64_t>(tensor->shape.size()));
    for (const int64_t size : tensor->shape) digest.Add(size);
  }
  for (const std::string& file : files) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    if (error) return absl::UnavailableError(absl::StrCat(file, ": cannot examine: ", error.message()));
    digest.Add(static_cast<int64_t>(size));
  }
  if (!model::IsGgufPath(reader.folder())) {
    const std::string path = (std::filesystem::path(reader.folder()) / "config.json").string();
    std::ifstream config(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(config), std::istreambuf_iterator<char>()};
    if (!config) return absl::UnavailableError(absl::StrCat(path, ": cannot be read"));
    digest.Add(text);
  }
  return digest.Finish();
}

absl::StatusOr<PackedIdentity> IdentityOf(const RankWeights& source) {
  const sizing::RankSpec& spec = source.spec;
  DR_ASSIGN_OR_RETURN(const Digest checkpoint, DigestOfCheckpoint(source.reader));
  return PackedIdentity{.rank = absl::StrCat(model::ToString(spec.layout), ", rank ", spec.rank, ", ",
                                             std::string(Name(spec.compute))),
                        .tensors = DigestOfTensors(source.manifest),
                        .checkpoint = checkpoint};
}

std::string PackedFileName(const std::string& model_path, const sizing::RankSpec& spec) {
  const model::Layout& layout = spec.layout;
  return absl::StrCat(model::ModelNameOf(model_path), ".tp", layout.tp, "-dp", layout.dp, "-ep", layout.ep,
                      "-pp", layout.pp, ".", absl::AsciiStrToLower(std::string(Name(spec.compute))), ".rank-",
                      spec.rank, ".packed");
}

}  // namespace deeprack::worker
