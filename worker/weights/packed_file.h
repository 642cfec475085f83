// A rank's packed weights as a file: a header of one page, then the bytes of the weights' arena as they are
// in memory. Little-endian, as everything that this program runs on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mapped_file.h"
#include "kernels/api/thread_pool.h"
#include "worker/device/device.h"
#include "worker/device/memory.h"
#include "worker/weights/digest.h"
#include "worker/weights/packed_identity.h"

namespace deeprack::worker {

// Where the data begins: page-aligned, which is more than kArenaAlignment.
inline constexpr int64_t kPackedHeaderBytes = 4096;

class PackedFile {
 public:
  // Maps the file and holds its header against `identity` and the `bytes` of data that this has; touches no
  // data. NotFound: no such file. FailedPrecondition: of other weights, of a checkpoint that has changed, or
  // of another kPackingVersion; the message says which. DataLoss: not a packed file, cut short, or a damaged
  // header. Others: MappedFile::Open's.
  static absl::StatusOr<PackedFile> Open(const std::string& path, const PackedIdentity& identity,
                                         int64_t bytes);

  // Reads all data. DataLoss: it is not what was written.
  absl::Status Verify(kernels::ThreadPool& pool) const;

  std::span<const std::byte> data() const { return file_.bytes().subspan(kPackedHeaderBytes); }
  // The data; keeps the mapping. Nobody may write to it.
  Memory TakeData() &&;

 private:
  PackedFile(MappedFile file, std::string path, const Digest& digest)
      : file_(std::move(file)), path_(std::move(path)), digest_(digest) {}

  MappedFile file_;
  std::string path_;
  Digest digest_;  // of the data
};

// Writes `bytes` of the device's memory under a temporary name and renames it when it is safe on the disk, so
// that what is mapped under `path` never changes; makes the folder. Unavailable: another process is writing
// this file. ResourceExhausted: the disk is full. FailedPrecondition: the system refused, with its reason.
absl::Status WritePackedFile(const std::string& path, const PackedIdentity& identity, const std::byte* memory,
                             int64_t bytes, Device& device);

}  // namespace deeprack::worker
