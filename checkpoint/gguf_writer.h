// Writing a GGUF file (version 3) of any size.
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

// The alignment that readers assume where the metadata does not say another.
inline constexpr int64_t kGgufAlignment = 32;

struct GgufTensorRecord {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // rows before columns: the file has the dimensions the other way round
};

// The bytes of a tensor; its last dimension is whole blocks of its type.
int64_t BytesOf(const GgufTensorRecord& tensor);

// Everything up to the first tensor's data, padding included. Names are unique, at most 63 bytes, types are
// GGUF's, shapes of 1 to 4 dimensions (else a bug). Tensors follow in the order given.
std::string GgufHeaderBytes(const GgufMetadata& metadata, std::span<const GgufTensorRecord> tensors);

// TensorFileWriter::Create's errors.
absl::StatusOr<std::unique_ptr<TensorFileWriter>> CreateGguf(std::string path, const GgufMetadata& metadata,
                                                             std::span<const GgufTensorRecord> tensors);

}  // namespace deeprack::checkpoint
