#include "checkpoint/safetensors_file.h"

#include <utility>

#include "base/status_macros.h"
#include "checkpoint/safetensors_header.h"

namespace deeprack::checkpoint {

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  DR_ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::Open(path));
  DR_ASSIGN_OR_RETURN(SafetensorsHeader header, ParseSafetensorsHeader(mapped.bytes(), path));
  const std::span<const std::byte> data = mapped.bytes().subspan(static_cast<size_t>(header.data_begin));

  SafetensorsFile file(std::move(mapped), path);
  file.metadata_ = std::move(header.metadata);
  file.names_.reserve(header.tensors.size());
  file.tensors_.reserve(header.tensors.size());
  for (HeaderEntry& entry : header.tensors) {
    const auto begin = static_cast<size_t>(entry.begin);
    const auto size = static_cast<size_t>(entry.end - entry.begin);
    if (entry.unread_type.empty()) {
      file.tensors_[entry.name] = {
          .dtype = entry.dtype, .shape = std::move(entry.shape), .bytes = data.subspan(begin, size)};
    } else {
      file.unread_[entry.name] = std::move(entry.unread_type);
    }
    file.names_.push_back(std::move(entry.name));
  }
  return file;
}

const TensorView* SafetensorsFile::Find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

std::string SafetensorsFile::UnreadType(const std::string& name) const {
  const auto found = unread_.find(name);
  return found == unread_.end() ? "" : found->second;
}

}  // namespace deeprack::checkpoint
