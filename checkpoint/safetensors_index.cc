#include "checkpoint/safetensors_index.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/message_text.h"
#include "nlohmann/json.hpp"

namespace deeprack::checkpoint {
namespace {

constexpr size_t kMaxIndexBytes = 100'000'000;
constexpr char kWeightMap[] = "weight_map";

bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

// Reads the index as a stream of events and keeps only weight_map.
class IndexEvents final : public nlohmann::json_sax<nlohmann::json> {
 public:
  absl::flat_hash_map<std::string, std::string> weight_map;
  bool has_weight_map = false;
  std::string fault;         // empty: none
  bool is_bad_name = false;  // the fault is a file name

  bool key(std::string& key) override {
    key_ = key;
    if (depth_ == 1) {
      in_map_ = key == kWeightMap;
      if (in_map_ && has_weight_map) return Fault("weight_map occurs twice");
      has_weight_map |= in_map_;
    }
    return true;
  }

  bool string(std::string& file) override {
    if (!AtMapEntry()) return OtherValue();
    if (!IsPlainFileName(file)) {
      is_bad_name = true;
      return Fault(absl::StrCat("tensor ", QuotedName(key_), " is in ", QuotedName(file),
                                ", which is not a plain file name: files must be in the index's own folder"));
    }
    if (!weight_map.try_emplace(key_, file).second) {
      return Fault(absl::StrCat("tensor ", QuotedName(key_), " occurs twice"));
    }
    return true;
  }

  bool start_object(size_t) override {
    if (AtMapEntry()) return OtherValue();
    ++depth_;
    return true;
  }
  bool end_object() override {
    --depth_;
    return true;
  }
  bool start_array(size_t) override {
    if (AtMapEntry() || AtMap() || depth_ == 0) return OtherValue();
    ++depth_;
    return true;
  }
  bool end_array() override {
    --depth_;
    return true;
  }

  bool null() override { return OtherValue(); }
  bool boolean(bool) override { return OtherValue(); }
  bool number_integer(int64_t) override { return OtherValue(); }
  bool number_unsigned(uint64_t) override { return OtherValue(); }
  bool number_float(double, const std::string&) override { return OtherValue(); }
  bool binary(nlohmann::json::binary_t&) override { return OtherValue(); }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& error) override {
    return Fault(absl::StrCat("not valid JSON: ", error.what()));
  }

 private:
  bool AtMap() const { return depth_ == 1 && in_map_; }
  bool AtMapEntry() const { return depth_ == 2 && in_map_; }

  // Handles a value that is not a file name: ignored outside weight_map, a fault inside it or as its value.
  bool OtherValue() {
    if (depth_ == 0) return Fault("not a JSON object");
    if (AtMap()) return Fault("weight_map must be an object");
    if (AtMapEntry()) return Fault(absl::StrCat("tensor ", QuotedName(key_), " has no file name"));
    return true;
  }

  bool Fault(const std::string& message) {
    fault = message;
    return false;
  }

  int64_t depth_ = 0;  // of objects and arrays around the next value
  bool in_map_ = false;
  std::string key_;
};

}  // namespace

absl::StatusOr<absl::flat_hash_map<std::string, std::string>> ParseSafetensorsIndex(
    std::span<const std::byte> json, const std::string& path) {
  if (json.size() > kMaxIndexBytes) {
    return absl::DataLossError(
        absl::StrCat(path, ": ", json.size(), " bytes, at most ", kMaxIndexBytes, " bytes are allowed"));
  }
  const char* text = reinterpret_cast<const char*>(json.data());
  IndexEvents events;
  const bool parsed = nlohmann::json::sax_parse(text, text + json.size(), &events);
  if (parsed && !events.has_weight_map) events.fault = "there is no weight_map";
  if (events.fault.empty()) return std::move(events.weight_map);
  const std::string message = absl::StrCat(path, ": ", events.fault);
  if (events.is_bad_name) return absl::InvalidArgumentError(message);
  return absl::DataLossError(absl::StrCat(message, "; fetch the index again"));
}

}  // namespace deeprack::checkpoint
