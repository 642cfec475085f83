#include "checkpoint/gguf_metadata.h"

#include <bit>

#include "base/check.h"

namespace deeprack::checkpoint {

static_assert(std::endian::native == std::endian::little,
              "GGUF's little-endian numbers are copied from memory");

using model::GgufType;

template <class T>
void GgufMetadata::Append(T value) {
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void GgufMetadata::AppendString(std::string_view text) {
  Append<uint64_t>(text.size());
  bytes_.append(text);
}

void GgufMetadata::AddKey(std::string_view key, GgufType type) {
  DR_CHECK(keys_.insert(std::string(key)).second);
  AppendString(key);
  Append(static_cast<uint32_t>(type));
}

void GgufMetadata::AddUint32(std::string_view key, uint32_t value) {
  AddKey(key, GgufType::kUint32);
  Append(value);
}

void GgufMetadata::AddFloat32(std::string_view key, float value) {
  AddKey(key, GgufType::kFloat32);
  Append(value);
}

void GgufMetadata::AddBool(std::string_view key, bool value) {
  AddKey(key, GgufType::kBool);
  Append(static_cast<uint8_t>(value));
}

void GgufMetadata::AddString(std::string_view key, std::string_view value) {
  AddKey(key, GgufType::kString);
  AppendString(value);
}

void GgufMetadata::AddStrings(std::string_view key, std::span<const std::string> values) {
  AddKey(key, GgufType::kArray);
  Append(static_cast<uint32_t>(GgufType::kString));
  Append<uint64_t>(values.size());
  for (const std::string& value : values) AppendString(value);
}

void GgufMetadata::AddInt32s(std::string_view key, std::span<const int32_t> values) {
  AddKey(key, GgufType::kArray);
  Append(static_cast<uint32_t>(GgufType::kInt32));
  Append<uint64_t>(values.size());
  for (int32_t value : values) Append(value);
}

void GgufMetadata::AddValue(std::string_view key, const model::GgufValue& value) {
  if (value.is_array) {
    AddKey(key, GgufType::kArray);
    Append(static_cast<uint32_t>(value.type));
    Append(static_cast<uint64_t>(value.count));
  } else {
    AddKey(key, value.type);
  }
  bytes_.append(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
}

}  // namespace deeprack::checkpoint
