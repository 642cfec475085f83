// Reads a GGUF's metadata by key. Checks each value's kind, keeps the first fault and remembers which keys
// were read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "model/gguf/gguf_model.h"

namespace deeprack::model {

// A getter returns nullopt for an absent key and for a value of another kind. The latter is a fault:
// InvalidArgument with the names of file and key. `model` must outlive the GgufFields.
class GgufFields {
 public:
  explicit GgufFields(const GgufModel& model) : model_(model) {}

  std::optional<int64_t> Integer(const std::string& key);
  // The value is an integer, or an array (one value for each layer) whose values are all equal.
  std::optional<int64_t> IntegerOfAllLayers(const std::string& key);
  std::optional<double> Number(const std::string& key);
  std::optional<bool> Bool(const std::string& key);
  std::optional<std::string> String(const std::string& key);

  // Each faults unless the key is absent or has the accepted value.
  void RequireInteger(const std::string& key, int64_t accepted);
  void RequireNumber(const std::string& key, double accepted);
  void RequireBool(const std::string& key, bool accepted);

  // Marks a key whose value does not change what the model computes.
  void Ignore(const std::string& key) { asked_.insert(key); }
  // Faults if the metadata has a key that begins with `prefix` and was neither read nor ignored.
  void RefuseOthers(const std::string& prefix);

  void Fault(const std::string& message);
  bool ok() const { return fault_.ok(); }
  const absl::Status& status() const { return fault_; }

 private:
  const GgufValue* Find(const std::string& key);
  void Wrong(const std::string& key, const std::string& expected);

  const GgufModel& model_;
  absl::Status fault_;
  absl::flat_hash_set<std::string> asked_;
};

}  // namespace deeprack::model
