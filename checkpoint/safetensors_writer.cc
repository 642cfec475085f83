#include "checkpoint/safetensors_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/block_formats.h"
#include "base/check.h"
#include "base/checked.h"
#include "checkpoint/checkpoint_reader.h"
#include "nlohmann/json.hpp"

namespace deeprack::checkpoint {
namespace {

constexpr int64_t kHeaderAlignment = 8;

// Calls `write` on a temporary file in the folder of `path`, then renames the file to `path`.
template <class WriteBody>
absl::Status WriteAtomically(const std::string& path, WriteBody write) {
  const std::string temporary = path + ".partial";
  errno = 0;
  std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
  if (out) write(out);
  out.close();
  if (!out || std::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    std::remove(temporary.c_str());
    return absl::UnavailableError(absl::StrCat(path, ": cannot write: ", std::strerror(error)));
  }
  return absl::OkStatus();
}

}  // namespace

int64_t BytesOf(const SafetensorsRecord& tensor) {
  const auto elements = CheckedProduct(tensor.shape);
  DR_CHECK(elements && !IsBlockFormat(tensor.dtype));
  const auto bytes = CheckedMul(*elements, static_cast<int64_t>(SizeOf(tensor.dtype)));
  DR_CHECK(bytes.has_value());
  return *bytes;
}

std::string SafetensorsHeaderBytes(std::span<const SafetensorsRecord> tensors,
                                   const std::vector<std::pair<std::string, std::string>>& metadata) {
  nlohmann::json header = nlohmann::json::object();
  for (const auto& [key, value] : metadata) header["__metadata__"][key] = value;
  int64_t offset = 0;
  for (const SafetensorsRecord& tensor : tensors) {
    const int64_t end = offset + BytesOf(tensor);
    header[tensor.name] = {
        {"dtype", std::string(Name(tensor.dtype))}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize(static_cast<size_t>(RoundUp(static_cast<int64_t>(text.size()), kHeaderAlignment)), ' ');
  std::string bytes;
  for (int shift = 0; shift < 64; shift += 8) {
    bytes.push_back(static_cast<char>(uint64_t{text.size()} >> shift & 0xff));
  }
  return bytes + text;
}

void SafetensorsWriter::Add(std::string name, DType dtype, std::vector<int64_t> shape,
                            std::span<const std::byte> bytes) {
  DR_CHECK(names_.insert(name).second);
  tensors_.push_back({{std::move(name), dtype, std::move(shape)}, bytes});
  DR_CHECK(static_cast<size_t>(BytesOf(tensors_.back().record)) == bytes.size());
}

void SafetensorsWriter::SetMetadata(std::string key, std::string value) {
  metadata_.emplace_back(std::move(key), std::move(value));
}

absl::Status SafetensorsWriter::Write(const std::string& path) const {
  std::vector<Tensor> order = tensors_;
  std::stable_sort(order.begin(), order.end(), [](const Tensor& a, const Tensor& b) {
    return SizeOf(a.record.dtype) > SizeOf(b.record.dtype);
  });
  std::vector<SafetensorsRecord> records;
  for (const Tensor& tensor : order) records.push_back(tensor.record);
  return WriteAtomically(path, [&](std::ofstream& out) {
    out << SafetensorsHeaderBytes(records, metadata_);
    for (const Tensor& tensor : order) {
      out.write(reinterpret_cast<const char*>(tensor.bytes.data()),
                static_cast<std::streamsize>(tensor.bytes.size()));
    }
  });
}

absl::Status WriteSafetensorsIndex(const std::string& folder,
                                   const std::vector<std::pair<std::string, std::string>>& tensor_to_file,
                                   int64_t total_bytes) {
  nlohmann::json index;
  index["metadata"]["total_size"] = total_bytes;
  index["weight_map"] = nlohmann::json::object();
  for (const auto& [tensor, file] : tensor_to_file) index["weight_map"][tensor] = file;
  return WriteAtomically(absl::StrCat(folder, "/", kIndexFileName),
                         [&](std::ofstream& out) { out << index.dump(2) << "\n"; });
}

}  // namespace deeprack::checkpoint
