// Collects the metadata entries of a GGUF file to be written.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "model/gguf/gguf_value.h"

namespace deeprack::checkpoint {

// Entries are encoded at once and stay in the order in which they are added. Adding a key twice is a bug.
class GgufMetadata {
 public:
  void AddUint32(std::string_view key, uint32_t value);
  void AddFloat32(std::string_view key, float value);
  void AddBool(std::string_view key, bool value);
  void AddString(std::string_view key, std::string_view value);
  void AddStrings(std::string_view key, std::span<const std::string> values);
  void AddInt32s(std::string_view key, std::span<const int32_t> values);
  // Adds an entry that was read from another file.
  void AddValue(std::string_view key, const model::GgufValue& value);

  int64_t count() const { return static_cast<int64_t>(keys_.size()); }
  const std::string& bytes() const { return bytes_; }  // all entries, as the file stores them

 private:
  void AddKey(std::string_view key, model::GgufType type);
  void AppendString(std::string_view text);
  template <class T>
  void Append(T value);

  absl::flat_hash_set<std::string> keys_;
  std::string bytes_;
};

}  // namespace deeprack::checkpoint
