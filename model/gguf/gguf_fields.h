// Reading a GGUF's metadata by key: each with its kind, the first fault kept, and a memory of what was asked
// for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "model/gguf/gguf_model.h"

namespace deeprack::model {

// Getters give nullopt for a key that is absent, and for one whose value is of another kind, which is a fault
// (InvalidArgument with the file's and the key's name). Refers to the model.
class GgufFields {
 public:
  explicit GgufFields(const GgufModel& model) : model_(model) {}

  std::optional<int64_t> Integer(const std::string& key);
  // An integer, or an array of one integer again and again: what files hold that have a value for each layer.
  std::optional<int64_t> IntegerOfAllLayers(const std::string& key);
  std::optional<double> Number(const std::string& key);
  std::optional<bool> Bool(const std::string& key);
  std::optional<std::string> String(const std::string& key);

  // Faults unless the key is absent or holds what this program computes.
  void RequireInteger(const std::string& key, int64_t accepted);
  void RequireNumber(const std::string& key, double accepted);
  void RequireBool(const std::string& key, bool accepted);

  // A key that changes nothing, whatever it holds.
  void Ignore(const std::string& key) { asked_.insert(key); }
  // Faults if a key that begins with `prefix` was neither asked for nor ignored.
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
