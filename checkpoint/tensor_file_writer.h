// Writing a file whose size is known: its header first, then the tensors' bytes in pieces, in any order and
// from several threads.
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
    int64_t begin = 0;  // bytes from the start of the file
    int64_t bytes = 0;
  };

  // Writes the header to `path`.partial, which gives the file its full size. Places lie between the header
  // and `file_bytes` and do not overlap (else a bug). Unavailable with the system's reason, or when the file
  // system has not as much room as the file needs.
  static absl::StatusOr<std::unique_ptr<TensorFileWriter>> Create(std::string path, std::string_view header,
                                                                  std::vector<Place> places,
                                                                  int64_t file_bytes);
  // Without Commit: removes what was written.
  ~TensorFileWriter();
  TensorFileWriter(const TensorFileWriter&) = delete;
  TensorFileWriter& operator=(const TensorFileWriter&) = delete;

  // Bytes of places[tensor] from `offset` on. Thread-safe for different bytes.
  absl::Status Write(size_t tensor, int64_t offset, std::span<const std::byte> bytes);

  // Once every byte of every place has been written (else a bug): brings the file to the disk and gives it
  // its name, in place of a file that has it.
  absl::Status Commit();

  int64_t file_bytes() const { return file_bytes_; }

 private:
  TensorFileWriter(std::string path, int file, std::vector<Place> places, int64_t file_bytes)
      : path_(std::move(path)), file_(file), places_(std::move(places)), file_bytes_(file_bytes) {}
  absl::Status Failed() const;  // errno as a status
  absl::Status WriteAt(int64_t at, const char* bytes, size_t size);

  const std::string path_;
  int file_;
  const std::vector<Place> places_;
  const int64_t file_bytes_;
  std::atomic<int64_t> written_ = 0;
};

}  // namespace deeprack::checkpoint
