// One value of a GGUF file's metadata, as a view of the file's bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace deeprack::model {

// The numbers are those in the file.
enum class GgufType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

// Bytes of a value of the type. 0 for strings and arrays, whose sizes vary.
int64_t ElementBytes(GgufType type);

// A scalar, or an array of scalars or strings. `bytes` lie in the file and are valid while the file is
// mapped. They hold `count` elements; the reader of the header has checked that. A getter returns nullopt for
// a value of another kind.
struct GgufValue {
  GgufType type = GgufType::kUint8;  // of the value, or of the array's elements
  bool is_array = false;
  int64_t count = 1;
  std::span<const std::byte> bytes;  // little-endian; a string is its length (64 bits), then its bytes

  // An integer of any width. nullopt if it does not fit in 63 bits.
  std::optional<int64_t> Integer() const;
  // An integer or a float. A float32 is read as the shortest decimal number that rounds to it: 1e-6 rather
  // than 9.99999997e-07, because the writer's number was decimal.
  std::optional<double> Number() const;
  std::optional<bool> Bool() const;
  std::optional<std::string_view> String() const;

  std::optional<std::vector<int64_t>> Integers() const;          // of an array
  std::optional<std::vector<std::string_view>> Strings() const;  // of an array
};

// The shortest decimal number that rounds to `value`, as a double.
double ShortestDecimal(float value);

}  // namespace deeprack::model
