// Writes the bytes of a GGUF file field by field, so that a test can damage any field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "model/gguf/gguf_value.h"

namespace deeprack::model {

template <class T>
std::string Raw(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

inline std::string RawString(const std::string& text) { return Raw<uint64_t>(text.size()) + text; }

// A metadata entry's value, with its type before it.
inline std::string Typed(GgufType type, const std::string& bytes) {
  return Raw(static_cast<uint32_t>(type)) + bytes;
}
inline std::string Typed(uint32_t value) { return Typed(GgufType::kUint32, Raw(value)); }
inline std::string Typed(float value) { return Typed(GgufType::kFloat32, Raw(value)); }
inline std::string Typed(bool value) { return Typed(GgufType::kBool, Raw<uint8_t>(value)); }
inline std::string Typed(const std::string& text) { return Typed(GgufType::kString, RawString(text)); }
inline std::string Typed(const char* text) { return Typed(std::string(text)); }
inline std::string TypedArray(GgufType element, uint64_t count, const std::string& bytes) {
  return Typed(GgufType::kArray, Raw(static_cast<uint32_t>(element)) + Raw(count) + bytes);
}
inline std::string TypedStrings(const std::vector<std::string>& texts) {
  std::string bytes;
  for (const std::string& text : texts) bytes += RawString(text);
  return TypedArray(GgufType::kString, texts.size(), bytes);
}
template <class T>
std::string TypedIntegers(const std::vector<T>& values) {
  std::string bytes;
  for (const T value : values) bytes += Raw(value);
  return TypedArray(std::is_signed_v<T> ? GgufType::kInt32 : GgufType::kUint32, values.size(), bytes);
}

struct GgufBytes {
  std::string magic = "GGUF";
  uint32_t version = 3;
  int64_t claimed_tensors = -1;  // -1: the real number
  int64_t claimed_keys = -1;
  std::string keys;
  std::string tensors;
  std::string data;
  int64_t alignment = 32;
  int64_t key_count = 0;
  int64_t tensor_count = 0;

  GgufBytes& Key(const std::string& name, const std::string& typed_value) {
    keys += RawString(name) + typed_value;
    ++key_count;
    return *this;
  }

  // `dimensions` in the file's order: columns first.
  GgufBytes& Record(const std::string& name, const std::vector<int64_t>& dimensions, uint32_t type,
                    uint64_t offset) {
    tensors += RawString(name) + Raw(static_cast<uint32_t>(dimensions.size()));
    for (const int64_t size : dimensions) tensors += Raw(size);
    tensors += Raw(type) + Raw(offset);
    ++tensor_count;
    return *this;
  }

  // Appends a record, and its data after the last tensor's data.
  GgufBytes& Tensor(const std::string& name, const std::vector<int64_t>& dimensions, uint32_t type,
                    const std::string& bytes) {
    data.resize((data.size() + static_cast<size_t>(alignment) - 1) / static_cast<size_t>(alignment) *
                static_cast<size_t>(alignment));
    Record(name, dimensions, type, data.size());
    data += bytes;
    return *this;
  }

  std::string Bytes() const {
    std::string bytes = magic + Raw(version) + Raw(claimed_tensors < 0 ? tensor_count : claimed_tensors) +
                        Raw(claimed_keys < 0 ? key_count : claimed_keys) + keys + tensors;
    const auto step = static_cast<size_t>(alignment);
    bytes.resize((bytes.size() + step - 1) / step * step);
    return bytes + data;
  }

  void Write(const std::string& path) const { std::ofstream(path, std::ios::binary) << Bytes(); }
};

inline std::span<const std::byte> AsBytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace deeprack::model
