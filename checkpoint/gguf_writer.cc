#include "checkpoint/gguf_writer.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/block_formats.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/status_macros.h"
#include "model/gguf/gguf_tensor_type.h"

namespace deeprack::checkpoint {
namespace {

constexpr char kPartial[] = ".partial";
constexpr uint32_t kVersion = 3;
constexpr size_t kMaxNameBytes = 63;
constexpr size_t kMaxDimensions = 4;

template <class T>
void Append(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

// Bytes that `path`'s file system has left; the largest number when it does not say.
int64_t RoomFor(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  struct statvfs system;
  if (statvfs(folder.c_str(), &system) != 0) return INT64_MAX;
  return CheckedMul(static_cast<int64_t>(system.f_bavail), static_cast<int64_t>(system.f_frsize))
      .value_or(INT64_MAX);
}

}  // namespace

int64_t BytesOf(const GgufTensorRecord& tensor) {
  const auto elements = CheckedProduct(tensor.shape);
  DR_CHECK(elements && !tensor.shape.empty() && tensor.shape.back() % BlockElements(tensor.dtype) == 0);
  return deeprack::BytesOf(tensor.dtype, *elements);
}

std::string GgufHeaderBytes(const GgufMetadata& metadata, std::span<const GgufTensorRecord> tensors) {
  std::string header = "GGUF";
  Append(header, kVersion);
  Append(header, static_cast<uint64_t>(tensors.size()));
  Append(header, static_cast<uint64_t>(metadata.count()));
  header += metadata.bytes();
  absl::flat_hash_set<std::string> names;
  int64_t offset = 0;
  for (const GgufTensorRecord& tensor : tensors) {
    const auto type = model::GgufTensorTypeOf(tensor.dtype);
    DR_CHECK(type && names.insert(tensor.name).second && tensor.name.size() <= kMaxNameBytes);
    DR_CHECK(!tensor.shape.empty() && tensor.shape.size() <= kMaxDimensions);
    Append(header, static_cast<uint64_t>(tensor.name.size()));
    header += tensor.name;
    Append(header, static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) Append(header, *size);
    Append(header, *type);
    Append(header, offset);
    offset = RoundUp(offset + BytesOf(tensor), kGgufAlignment);
  }
  header.resize(static_cast<size_t>(RoundUp(static_cast<int64_t>(header.size()), kGgufAlignment)), '\0');
  return header;
}

absl::StatusOr<std::unique_ptr<GgufWriter>> GgufWriter::Create(std::string path, const GgufMetadata& metadata,
                                                               std::span<const GgufTensorRecord> tensors) {
  const std::string header = GgufHeaderBytes(metadata, tensors);
  const int file = open((path + kPartial).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  std::unique_ptr<GgufWriter> writer(new GgufWriter(std::move(path), file));
  if (file < 0) return writer->Failed();

  int64_t at = static_cast<int64_t>(header.size());
  for (const GgufTensorRecord& tensor : tensors) {
    writer->begin_.push_back(at);
    writer->bytes_.push_back(BytesOf(tensor));
    writer->data_bytes_ += writer->bytes_.back();
    at = RoundUp(at + writer->bytes_.back(), kGgufAlignment);
  }
  writer->file_bytes_ = at;
  if (const int64_t room = RoomFor(writer->path_); room < at) {
    return absl::UnavailableError(absl::StrCat(writer->path_, ": needs ", at,
                                               " bytes, but its file system has ", room,
                                               " left: make room or choose another place"));
  }
  if (ftruncate(file, at) != 0) return writer->Failed();
  DR_RETURN_IF_ERROR(writer->WriteAt(0, header.data(), header.size()));
  return writer;
}

GgufWriter::~GgufWriter() {
  if (file_ < 0) return;
  close(file_);
  std::remove((path_ + kPartial).c_str());
}

absl::Status GgufWriter::Failed() const {
  return absl::UnavailableError(absl::StrCat(path_, ": cannot write: ", std::strerror(errno)));
}

absl::Status GgufWriter::WriteAt(int64_t at, const char* bytes, size_t size) {
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

absl::Status GgufWriter::Write(size_t tensor, int64_t offset, std::span<const std::byte> bytes) {
  const auto size = static_cast<int64_t>(bytes.size());
  DR_CHECK(tensor < begin_.size() && offset >= 0 && size <= bytes_[tensor] - offset);
  DR_RETURN_IF_ERROR(
      WriteAt(begin_[tensor] + offset, reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  written_ += size;
  return absl::OkStatus();
}

absl::Status GgufWriter::Commit() {
  DR_CHECK(written_ == data_bytes_);
  if (fsync(file_) != 0) return Failed();
  const int closed = close(std::exchange(file_, -1));
  if (closed == 0 && std::rename((path_ + kPartial).c_str(), path_.c_str()) == 0) return absl::OkStatus();
  const absl::Status failed = Failed();
  std::remove((path_ + kPartial).c_str());
  return failed;
}

}  // namespace deeprack::checkpoint
