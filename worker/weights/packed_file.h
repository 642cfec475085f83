// A rank's packed weights as a file: a header of one page, then the bytes of the weights' arena as they are
// in memory, little-endian.
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
#include "worker/weights/weight_loader.h"

namespace deeprack::worker {

// Where the data begins. Page-aligned, which satisfies kArenaAlignment.
inline constexpr int64_t kPackedHeaderBytes = 4096;

// Bytes of data that are read or written between two reports of progress: whole blocks of the digest.
inline constexpr int64_t kPackedRunBytes = 64 * BlockDigest::kBlockBytes;

class PackedFile {
 public:
  // Maps the file and compares its header with `identity` and `bytes`, the size of the data. Reads no data.
  // Errors: NotFound (no such file), FailedPrecondition (other weights, a checkpoint that has changed, or
  // another kPackingVersion; the message says which), DataLoss (not a packed file, cut short, or a damaged
  // header), and those of MappedFile::Open.
  static absl::StatusOr<PackedFile> Open(const std::string& path, const PackedIdentity& identity,
                                         int64_t bytes);

  // Reads all data. `progress`, which may be empty, is told the bytes read so far and in all. DataLoss: the
  // data differs from what was written.
  absl::Status Verify(kernels::ThreadPool& pool, const LoadProgress& progress) const;

  std::span<const std::byte> data() const { return file_.bytes().subspan(kPackedHeaderBytes); }
  // The data, read-only. The result keeps the mapping.
  Memory TakeData() &&;

 private:
  PackedFile(MappedFile file, std::string path, const Digest& digest)
      : file_(std::move(file)), path_(std::move(path)), digest_(digest) {}

  MappedFile file_;
  std::string path_;
  Digest digest_;  // of the data
};

// Writes `memory`, which is the device's, under a temporary name, and renames the file when it is safe on the
// disk: a file mapped under `path` never changes. Makes the folder. `progress`, which may be empty, is told
// the bytes that the disk has so far and in all. Errors: Unavailable (another process is writing this file),
// ResourceExhausted (the disk is full), FailedPrecondition (the system refused, with its reason).
absl::Status WritePackedFile(const std::string& path, const PackedIdentity& identity,
                             std::span<const std::byte> memory, Device& device, const LoadProgress& progress);

}  // namespace deeprack::worker
