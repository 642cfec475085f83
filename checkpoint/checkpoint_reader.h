// The tensors of a model, from one of three sources: a folder with model.safetensors or with several files
// and model.safetensors.index.json; a GGUF, whose tensors get the names and shapes that they have in a
// folder; or dummy tensors without files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "checkpoint/dummy_tensors.h"
#include "checkpoint/gguf_tensors.h"
#include "checkpoint/safetensors_file.h"
#include "checkpoint/tensor_view.h"
#include "model/config/model_config.h"
#include "model/files/load_format.h"
#include "model/tensors/tensor_types.h"

namespace deeprack::checkpoint {

inline constexpr char kIndexFileName[] = "model.safetensors.index.json";
inline constexpr char kSingleFileName[] = "model.safetensors";

class CheckpointReader {
 public:
  // Opens every file and checks that index and files agree: the same tensors, each in the file that the index
  // names. If there are both an index and model.safetensors, the index is used. Errors: NotFound (folder,
  // file or shard); InvalidArgument (an index that names paths); DataLoss (a damaged file, or index and files
  // disagree). For a GGUF: the errors of GgufTensors::Open.
  static absl::StatusOr<CheckpointReader> Open(const std::string& path);
  // As above. With LoadFormat::kDummy: opens no files and makes DummyTensors from `config`. InvalidArgument:
  // dummy weights for a GGUF.
  static absl::StatusOr<CheckpointReader> Open(const std::string& path, const model::ModelConfig& config,
                                               model::LoadFormat format);

  const TensorView* Find(const std::string& name) const;  // nullptr: no such tensor, or one of an unread type
  // The file's name of the type of a tensor whose type is no DType ("IQ4_XS", "F4"). "": Find gives the
  // tensor, or there is none.
  std::string UnreadType(const std::string& name) const;
  // NotFound: no such tensor; the message names the folder.
  absl::StatusOr<TensorView> Get(const std::string& name) const;
  // The path of the file that holds the tensor, for messages. "": no such tensor.
  std::string FileOf(const std::string& name) const;

  // Asks the system to start reading the tensor. Returns at once.
  void Prefetch(const std::string& name) const;

  std::vector<std::string> names() const;  // sorted
  int64_t tensor_count() const;
  int64_t total_bytes() const;
  const std::string& folder() const { return folder_; }  // for a GGUF: its path

  // The types of the tensors that are stored in block formats.
  model::TensorTypes BlockTypes() const;

 private:
  explicit CheckpointReader(std::string folder) : folder_(std::move(folder)) {}
  absl::Status AddFile(SafetensorsFile file);
  absl::Status OpenIndexed(const std::string& index_path);

  std::string folder_;
  std::optional<GgufTensors> gguf_;    // set for a GGUF; then no member below is used
  std::optional<DummyTensors> dummy_;  // set for dummy tensors; then no member below is used
  std::vector<SafetensorsFile> files_;
  absl::flat_hash_map<std::string, size_t> file_of_;  // tensor -> position in files_
  int64_t total_bytes_ = 0;
};

}  // namespace deeprack::checkpoint
