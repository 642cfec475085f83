// Writing a GGUF file (version 3) of any size: the header first, then the tensors' bytes in pieces, in any
// order and from several threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "checkpoint/gguf_metadata.h"

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

class GgufWriter {
 public:
  // Writes the header to `path`.partial, which gives the file its full size. Unavailable with the system's
  // reason, or when the file system has not as much room as the file needs.
  static absl::StatusOr<std::unique_ptr<GgufWriter>> Create(std::string path, const GgufMetadata& metadata,
                                                            std::span<const GgufTensorRecord> tensors);
  // Without Commit: removes what was written.
  ~GgufWriter();
  GgufWriter(const GgufWriter&) = delete;
  GgufWriter& operator=(const GgufWriter&) = delete;

  // Bytes of tensors[tensor] from `offset` on. Thread-safe for different bytes.
  absl::Status Write(size_t tensor, int64_t offset, std::span<const std::byte> bytes);

  // Once every byte of every tensor has been written (else a bug): brings the file to the disk and gives it
  // its name, in place of a file that has it.
  absl::Status Commit();

  int64_t file_bytes() const { return file_bytes_; }

 private:
  GgufWriter(std::string path, int file) : path_(std::move(path)), file_(file) {}
  absl::Status Failed() const;  // errno as a status
  absl::Status WriteAt(int64_t at, const char* bytes, size_t size);

  const std::string path_;
  int file_;
  std::vector<int64_t> begin_;  // of each tensor in the file
  std::vector<int64_t> bytes_;
  int64_t file_bytes_ = 0;
  int64_t data_bytes_ = 0;
  std::atomic<int64_t> written_ = 0;
};

}  // namespace deeprack::checkpoint
