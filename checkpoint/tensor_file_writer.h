// Writes a file of known size: first the header, then the tensors' bytes in pieces, in any order and from
// several threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace deeprack::checkpoint {

class TensorFileWriter {
 public:
  struct Place {
    int64_t begin = 0;  // bytes from the beginning of the file
    int64_t bytes = 0;
  };

  // Creates `path`.partial with its full size and writes the header. It is a bug if places overlap or do not
  // lie between the header and `file_bytes`. Unavailable: the system refused (the message has its reason), or
  // the file system has less room than the file needs.
  static absl::StatusOr<std::unique_ptr<TensorFileWriter>> Create(std::string path, std::string_view header,
                                                                  std::vector<Place> places,
                                                                  int64_t file_bytes);
  // Removes the partial file if Commit was not called.
  ~TensorFileWriter();
  TensorFileWriter(const TensorFileWriter&) = delete;
  TensorFileWriter& operator=(const TensorFileWriter&) = delete;

  // Writes `bytes` at `offset` bytes from the beginning of places[tensor]. Several threads may write
  // different bytes.
  absl::Status Write(size_t tensor, int64_t offset, std::span<const std::byte> bytes);

  // Flushes the file to the disk and renames it to `path`, replacing a file of that name. It is a bug if a
  // byte of a place has not been written.
  absl::Status Commit();

  int64_t file_bytes() const { return file_bytes_; }

 private:
  TensorFileWriter(std::string path, int file, std::vector<Place> places, int64_t file_bytes)
      : path_(std::move(path)), file_(file), places_(std::move(places)), file_bytes_(file_bytes) {}
  absl::Status Failed() const;  // the error in errno
  absl::Status WriteAt(int64_t at, const char* bytes, size_t size);

  const std::string path_;
  int file_;
  const std::vector<Place> places_;
  const int64_t file_bytes_;
  std::atomic<int64_t> written_ = 0;
};

}  // namespace deeprack::checkpoint
