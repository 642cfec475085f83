// Writes a GGUF file (version 3) of any size.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "checkpoint/gguf_metadata.h"
#include "checkpoint/tensor_file_writer.h"

namespace deeprack::checkpoint {

// Bytes. Readers assume this alignment when the metadata has no general.alignment.
inline constexpr int64_t kGgufAlignment = 32;

struct GgufTensorRecord {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // [rows, cols]; the file stores the dimensions in reverse order
};

// The bytes of a tensor. Its last dimension must be whole blocks of its type.
int64_t BytesOf(const GgufTensorRecord& tensor);

// All bytes before the first tensor's data, with padding. It is a bug if a name occurs twice or is longer
// than 63 bytes, a type is not one of GGUF's, or a shape has not 1 to 4 dimensions. The tensors' data follow
// in the order given.
std::string GgufHeaderBytes(const GgufMetadata& metadata, std::span<const GgufTensorRecord> tensors);

// Creates a writer for the file. Errors: those of TensorFileWriter::Create.
absl::StatusOr<std::unique_ptr<TensorFileWriter>> CreateGguf(std::string path, const GgufMetadata& metadata,
                                                             std::span<const GgufTensorRecord> tensors);

}  // namespace deeprack::checkpoint
