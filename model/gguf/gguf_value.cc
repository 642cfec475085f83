#include "model/gguf/gguf_value.h"

#include <charconv>
#include <cstring>
#include <limits>

namespace deeprack::model {
namespace {

template <class T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

bool IsInteger(GgufType type) {
  return type != GgufType::kFloat32 && type != GgufType::kFloat64 && type != GgufType::kBool &&
         type != GgufType::kString && type != GgufType::kArray;
}

std::optional<int64_t> LoadInteger(GgufType type, const std::byte* at) {
  switch (type) {
    case GgufType::kUint8:
      return Load<uint8_t>(at);
    case GgufType::kInt8:
      return Load<int8_t>(at);
    case GgufType::kUint16:
      return Load<uint16_t>(at);
    case GgufType::kInt16:
      return Load<int16_t>(at);
    case GgufType::kUint32:
      return Load<uint32_t>(at);
    case GgufType::kInt32:
      return Load<int32_t>(at);
    case GgufType::kInt64:
      return Load<int64_t>(at);
    case GgufType::kUint64: {
      const uint64_t value = Load<uint64_t>(at);
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
      return static_cast<int64_t>(value);
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

int64_t ElementBytes(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kBool:
      return 1;
    case GgufType::kUint16:
    case GgufType::kInt16:
      return 2;
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kFloat32:
      return 4;
    case GgufType::kUint64:
    case GgufType::kInt64:
    case GgufType::kFloat64:
      return 8;
    default:
      return 0;
  }
}

double ShortestDecimal(float value) {
  char text[32];
  const std::to_chars_result written = std::to_chars(text, text + sizeof(text), value);
  double decimal = 0;
  std::from_chars(text, written.ptr, decimal);  // "inf" and "nan" are read back too
  return decimal;
}

std::optional<int64_t> GgufValue::Integer() const {
  if (is_array) return std::nullopt;
  return LoadInteger(type, bytes.data());
}

std::optional<double> GgufValue::Number() const {
  if (is_array) return std::nullopt;
  if (type == GgufType::kFloat32) return ShortestDecimal(Load<float>(bytes.data()));
  if (type == GgufType::kFloat64) return Load<double>(bytes.data());
  const std::optional<int64_t> integer = Integer();
  if (!integer) return std::nullopt;
  return static_cast<double>(*integer);
}

std::optional<bool> GgufValue::Bool() const {
  if (is_array || type != GgufType::kBool) return std::nullopt;
  return bytes[0] != std::byte{0};
}

std::optional<std::string_view> GgufValue::String() const {
  if (is_array || type != GgufType::kString) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(bytes.data()) + sizeof(uint64_t),
                          bytes.size() - sizeof(uint64_t));
}

std::optional<std::vector<int64_t>> GgufValue::Integers() const {
  if (!is_array || !IsInteger(type)) return std::nullopt;
  std::vector<int64_t> integers(static_cast<size_t>(count));
  for (size_t i = 0; i < integers.size(); ++i) {
    const std::optional<int64_t> value =
        LoadInteger(type, bytes.data() + i * static_cast<size_t>(ElementBytes(type)));
    if (!value) return std::nullopt;
    integers[i] = *value;
  }
  return integers;
}

std::optional<std::vector<std::string_view>> GgufValue::Strings() const {
  if (!is_array || type != GgufType::kString) return std::nullopt;
  std::vector<std::string_view> strings(static_cast<size_t>(count));
  const std::byte* at = bytes.data();
  for (std::string_view& text : strings) {
    const uint64_t length = Load<uint64_t>(at);
    text = {reinterpret_cast<const char*>(at) + sizeof(uint64_t), static_cast<size_t>(length)};
    at += sizeof(uint64_t) + length;
  }
  return strings;
}

}  // namespace deeprack::model
