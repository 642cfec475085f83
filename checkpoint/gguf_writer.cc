#include "checkpoint/gguf_writer.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/block_formats.h"
#include "base/check.h"
#include "base/checked.h"
#include "model/gguf/gguf_tensor_type.h"

namespace deeprack::checkpoint {
namespace {

constexpr uint32_t kVersion = 3;
constexpr size_t kMaxNameBytes = 63;
constexpr size_t kMaxDimensions = 4;

template <class T>
void Append(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof(T));
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

absl::StatusOr<std::unique_ptr<TensorFileWriter>> CreateGguf(std::string path, const GgufMetadata& metadata,
                                                             std::span<const GgufTensorRecord> tensors) {
  const std::string header = GgufHeaderBytes(metadata, tensors);
  std::vector<TensorFileWriter::Place> places;
  int64_t at = static_cast<int64_t>(header.size());
  for (const GgufTensorRecord& tensor : tensors) {
    places.push_back({.begin = at, .bytes = BytesOf(tensor)});
    at = RoundUp(at + places.back().bytes, kGgufAlignment);
  }
  return TensorFileWriter::Create(std::move(path), header, std::move(places), at);
}

}  // namespace deeprack::checkpoint
