#include "checkpoint/tensor_file_writer.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/status_macros.h"

namespace deeprack::checkpoint {
namespace {

constexpr char kPartial[] = ".partial";

// Free bytes of the file system of `path`. The largest number if the system does not say.
int64_t RoomFor(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  struct statvfs system;
  if (statvfs(folder.c_str(), &system) != 0) return INT64_MAX;
  return CheckedMul(static_cast<int64_t>(system.f_bavail), static_cast<int64_t>(system.f_frsize))
      .value_or(INT64_MAX);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TensorFileWriter>> TensorFileWriter::Create(std::string path,
                                                                           std::string_view header,
                                                                           std::vector<Place> places,
                                                                           int64_t file_bytes) {
  const int file = open((path + kPartial).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  std::unique_ptr<TensorFileWriter> writer(
      new TensorFileWriter(std::move(path), file, std::move(places), file_bytes));
  if (file < 0) return writer->Failed();
  if (const int64_t room = RoomFor(writer->path_); room < file_bytes) {
    return absl::UnavailableError(absl::StrCat(writer->path_, ": the file needs ", file_bytes,
                                               " bytes, but its file system has ", room,
                                               " bytes left: make room or choose another place"));
  }
  if (ftruncate(file, file_bytes) != 0) return writer->Failed();
  DR_RETURN_IF_ERROR(writer->WriteAt(0, header.data(), header.size()));
  return writer;
}

TensorFileWriter::~TensorFileWriter() {
  if (file_ < 0) return;
  close(file_);
  std::remove((path_ + kPartial).c_str());
}

absl::Status TensorFileWriter::Failed() const {
  return absl::UnavailableError(absl::StrCat(path_, ": cannot write: ", std::strerror(errno)));
}

absl::Status TensorFileWriter::WriteAt(int64_t at, const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t written = pwrite(file_, bytes, size, at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return Failed();
    bytes += written;
    at += written;
    size -= static_cast<size_t>(written);
  }
  return absl::OkStatus();
}

absl::Status TensorFileWriter::Write(size_t tensor, int64_t offset, std::span<const std::byte> bytes) {
  const auto size = static_cast<int64_t>(bytes.size());
  DR_CHECK(tensor < places_.size() && offset >= 0 && size <= places_[tensor].bytes - offset);
  DR_RETURN_IF_ERROR(
      WriteAt(places_[tensor].begin + offset, reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  written_ += size;
  return absl::OkStatus();
}

absl::Status TensorFileWriter::Commit() {
  int64_t all = 0;
  for (const Place& place : places_) all += place.bytes;
  DR_CHECK(written_ == all);
  if (fsync(file_) != 0) return Failed();
  const int closed = close(std::exchange(file_, -1));
  if (closed == 0 && std::rename((path_ + kPartial).c_str(), path_.c_str()) == 0) return absl::OkStatus();
  const absl::Status failed = Failed();
  std::remove((path_ + kPartial).c_str());
  return failed;
}

}  // namespace deeprack::checkpoint
