#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "worker/weights/packed_file.h"
#include "worker/weights/packed_header.h"

namespace deeprack::worker {
namespace {

absl::Status SystemError(const std::string& path, const char* action) {
  const int error = errno;
  const std::string message = absl::StrCat(path, ": cannot ", action, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT) return absl::ResourceExhaustedError(message);
  return absl::FailedPreconditionError(message);
}

// The disk is full: adds how many bytes there would have to be.
absl::Status WithBytes(const absl::Status& status, int64_t bytes, const std::string& folder) {
  if (!absl::IsResourceExhausted(status)) return status;
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(folder, error);
  return absl::ResourceExhaustedError(
      absl::StrCat(status.message(), "; the file takes ", bytes, " bytes",
                   error ? "" : absl::StrCat(", and ", space.available, " are free in ", folder)));
}

// A file under a temporary name. Deleted at the end unless Commit has renamed it.
class PartialFile {
 public:
  explicit PartialFile(std::string path)
      : path_(std::move(path)), partial_(absl::StrCat(path_, ".partial")) {}
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  ~PartialFile() {
    if (owned_) unlink(partial_.c_str());
    if (fd_ >= 0) close(fd_);  // last: releases the lock
  }

  // The lock keeps writers apart. A file that a dead writer left is overwritten. Another writer may have
  // renamed the file between this open and this lock; then the name is another file, or none.
  absl::Status Open() {
    fd_ = open(partial_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd_ < 0) return SystemError(partial_, "write");
    struct stat ours, named;
    if (flock(fd_, LOCK_EX | LOCK_NB) != 0 || fstat(fd_, &ours) != 0 || stat(partial_.c_str(), &named) != 0 ||
        ours.st_ino != named.st_ino || ours.st_dev != named.st_dev) {
      return absl::UnavailableError(absl::StrCat(partial_, ": another process is writing it"));
    }
    owned_ = true;
    return ftruncate(fd_, 0) == 0 ? absl::OkStatus() : SystemError(partial_, "write");
  }

  absl::Status Write(const void* data, int64_t bytes, int64_t offset) {
    const char* from = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t written = pwrite(fd_, from, static_cast<size_t>(bytes), offset);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return SystemError(partial_, "write");
      from += written;
      offset += written;
      bytes -= written;
    }
    return absl::OkStatus();
  }

  // Blocks until the disk has what was written in [begin, end), so that writers report progress at the disk's
  // speed and Commit has little left to wait for. Errors show in Commit.
  void AwaitDisk(int64_t begin, int64_t end) {
    sync_file_range(fd_, begin, end - begin,
                    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  }

  absl::Status Commit() {
    if (fsync(fd_) != 0) return SystemError(partial_, "write");
    if (std::rename(partial_.c_str(), path_.c_str()) != 0) return SystemError(path_, "rename to it");
    owned_ = false;
    // Makes the new name survive a power failure. Errors are ignored: a lost file is packed again.
    const int folder =
        open(std::filesystem::path(path_).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
      fsync(folder);
      close(folder);
    }
    return absl::OkStatus();
  }

 private:
  const std::string path_, partial_;
  int fd_ = -1;
  bool owned_ = false;
};

absl::Status WriteFile(const std::string& path, const PackedIdentity& identity,
                       std::span<const std::byte> memory, Device& device, const LoadProgress& progress) {
  const int64_t bytes = std::ssize(memory);
  PartialFile file(path);
  DR_RETURN_IF_ERROR(file.Open());
  Memory staging;
  if (!device.shares_host_memory()) {
    DR_ASSIGN_OR_RETURN(staging, device.AllocateStaging("packed weights on their way to the disk",
                                                        std::min(bytes, kPackedRunBytes)));
  }
  BlockDigest digest;
  for (int64_t begin = 0; begin < bytes; begin += kPackedRunBytes) {
    const int64_t run = std::min(kPackedRunBytes, bytes - begin);
    const std::byte* from = memory.data() + begin;
    if (staging.data() != nullptr) {
      DR_RETURN_IF_ERROR(device.CopyOut(staging.data(), from, run));
      DR_RETURN_IF_ERROR(device.Synchronize());
      from = staging.data();
    }
    digest.Add({from, static_cast<size_t>(run)}, *device.execution().pool);
    DR_RETURN_IF_ERROR(file.Write(from, run, kPackedHeaderBytes + begin));
    file.AwaitDisk(kPackedHeaderBytes + begin, kPackedHeaderBytes + begin + run);
    if (progress) progress(begin + run, bytes);
  }
  const PackedHeader header = MakePackedHeader(identity, bytes, digest.Finish());
  DR_RETURN_IF_ERROR(file.Write(&header, sizeof(header), 0));
  return file.Commit();
}

}  // namespace

absl::Status WritePackedFile(const std::string& path, const PackedIdentity& identity,
                             std::span<const std::byte> memory, Device& device,
                             const LoadProgress& progress) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder.string(), ": cannot make the folder: ", error.message()));
  }
  // The partial file is gone before the free bytes are counted.
  const absl::Status written = WriteFile(path, identity, memory, device, progress);
  return WithBytes(written, kPackedHeaderBytes + std::ssize(memory), folder.string());
}

}  // namespace deeprack::worker
