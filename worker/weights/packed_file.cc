#include "worker/weights/packed_file.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "worker/weights/packed_header.h"

namespace deeprack::worker {

absl::StatusOr<PackedFile> PackedFile::Open(const std::string& path, const PackedIdentity& identity,
                                            int64_t bytes) {
  DR_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  const int64_t size = std::ssize(file.bytes());
  if (size < kPackedHeaderBytes) {
    return absl::DataLossError(
        absl::StrCat(path, ": ", size, " bytes are too few for a file of packed weights"));
  }
  PackedHeader header;
  std::memcpy(&header, file.bytes().data(), sizeof(header));
  if (const absl::Status status = CheckPackedHeader(header, size, identity, bytes); !status.ok()) {
    return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
  }
  // May fail: few file systems have huge pages.
  madvise(const_cast<std::byte*>(file.bytes().data()), file.bytes().size(), MADV_HUGEPAGE);
  return PackedFile(std::move(file), path, header.data);
}

absl::Status PackedFile::Verify(kernels::ThreadPool& pool, const LoadProgress& progress) const {
  BlockDigest digest;
  const int64_t bytes = std::ssize(data());
  for (int64_t begin = 0; begin < bytes; begin += kPackedRunBytes) {
    const int64_t run = std::min(kPackedRunBytes, bytes - begin);
    digest.Add(data().subspan(begin, run), pool);
    if (progress) progress(begin + run, bytes);
  }
  if (digest.Finish() != digest_) {
    return absl::DataLossError(absl::StrCat(
        path_, ": the weights in it are not those that were written; the disk or a copy damaged them"));
  }
  return absl::OkStatus();
}

Memory PackedFile::TakeData() && {
  const auto file = std::make_shared<MappedFile>(std::move(file_));
  const std::span<const std::byte> data = file->bytes().subspan(kPackedHeaderBytes);
  return Memory(const_cast<std::byte*>(data.data()), std::ssize(data), [file](std::byte*, int64_t) {});
}

}  // namespace deeprack::worker
