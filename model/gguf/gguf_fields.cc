#include "model/gguf/gguf_fields.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/message_text.h"

namespace deeprack::model {

const GgufValue* GgufFields::Find(const std::string& key) {
  asked_.insert(key);
  return model_.Find(key);
}

void GgufFields::Fault(const std::string& message) {
  if (fault_.ok()) fault_ = absl::InvalidArgumentError(absl::StrCat(model_.path(), ": ", message));
}

void GgufFields::Wrong(const std::string& key, const std::string& expected) {
  Fault(absl::StrCat("metadata key ", key, " must be ", expected));
}

std::optional<int64_t> GgufFields::Integer(const std::string& key) {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const std::optional<int64_t> integer = value->Integer();
  if (!integer) Wrong(key, "an integer");
  return integer;
}

std::optional<int64_t> GgufFields::IntegerOfAllLayers(const std::string& key) {
  const GgufValue* value = Find(key);
  if (value == nullptr || !value->is_array) return Integer(key);
  const std::optional<std::vector<int64_t>> layers = value->Integers();
  if (!layers || layers->empty() ||
      std::any_of(layers->begin(), layers->end(), [&](int64_t layer) { return layer != layers->front(); })) {
    Wrong(key, "one integer for all layers: layers of different sizes are not served yet");
    return std::nullopt;
  }
  return layers->front();
}

std::optional<double> GgufFields::Number(const std::string& key) {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const std::optional<double> number = value->Number();
  if (!number) Wrong(key, "a number");
  return number;
}

std::optional<bool> GgufFields::Bool(const std::string& key) {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const std::optional<bool> flag = value->Bool();
  if (!flag) Wrong(key, "true or false");
  return flag;
}

std::optional<std::string> GgufFields::String(const std::string& key) {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const std::optional<std::string_view> text = value->String();
  if (!text) {
    Wrong(key, "a string");
    return std::nullopt;
  }
  return std::string(*text);
}

void GgufFields::RequireInteger(const std::string& key, int64_t accepted) {
  const std::optional<int64_t> value = Integer(key);
  if (value && *value != accepted) {
    Fault(absl::StrCat("metadata key ", key, " ", *value, " is not served: it must be ", accepted));
  }
}

void GgufFields::RequireNumber(const std::string& key, double accepted) {
  const std::optional<double> value = Number(key);
  if (value && *value != accepted) {
    Fault(absl::StrCat("metadata key ", key, " ", *value, " is not served: it must be ", accepted));
  }
}

void GgufFields::RequireBool(const std::string& key, bool accepted) {
  const std::optional<bool> value = Bool(key);
  if (value && *value != accepted) {
    Fault(absl::StrCat("metadata key ", key, " is not served: it must be ", accepted ? "true" : "false"));
  }
}

void GgufFields::RefuseOthers(const std::string& prefix) {
  std::vector<std::string> others;
  for (const auto& [key, value] : model_.metadata()) {
    if (absl::StartsWith(key, prefix) && !asked_.contains(key)) others.push_back(key);
  }
  if (others.empty()) return;
  Fault(
      absl::StrCat("metadata key ", QuotedName(*std::min_element(others.begin(), others.end())),
                   " is not known here and may change what the model computes: use a release that knows it"));
}

}  // namespace deeprack::model
