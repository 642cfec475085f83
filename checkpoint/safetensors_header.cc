#include "checkpoint/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/checked.h"
#include "base/message_text.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace deeprack::checkpoint {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr std::string_view kLfsPointer = "version https://git-lfs";
// The format's dtypes that are no DTypes.
constexpr std::string_view kUnreadTypes[] = {"BOOL",    "I16",     "U16",         "U32",        "U64",
                                             "F64",     "C64",     "F8_E5M2",     "F8_E8M0",    "F4",
                                             "F6_E2M3", "F6_E3M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"};

// Reads the header as a stream of events, so that a hostile header takes no more memory than the entries that
// it has. An event that is not allowed at its place is a fault.
class HeaderEvents final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderEvents(SafetensorsHeader* header) : header_(header) {}

  const std::string& fault() const { return fault_; }

  bool key(std::string& key) override {
    switch (place_) {
      case Place::kRoot:
        if (!names_.insert(key).second)
          return Fault(absl::StrCat("tensor ", QuotedName(key), " occurs twice"));
        key_ = key;
        return true;
      case Place::kMetadata:
        key_ = key;
        if (header_->metadata.contains(key)) {
          return Fault(absl::StrCat("__metadata__ has the key ", QuotedName(key), " twice"));
        }
        return true;
      case Place::kTensor:
        key_ = key;
        if (key != "dtype" && key != "shape" && key != "data_offsets") {
          return TensorFault(absl::StrCat("unknown field ", QuotedName(key)));
        }
        if (!fields_.insert(key).second) return TensorFault(absl::StrCat("field ", key, " occurs twice"));
        return true;
      default:
        return Misplaced("a key");
    }
  }

  bool start_object(size_t) override {
    if (place_ == Place::kStart) {
      place_ = Place::kRoot;
      return true;
    }
    if (place_ != Place::kRoot) return Misplaced("an object");
    if (key_ == "__metadata__") {
      place_ = Place::kMetadata;
      return true;
    }
    if (header_->tensors.size() == kMaxTensorsPerFile) {
      return Fault(absl::StrCat("more than ", kMaxTensorsPerFile, " tensors in one file"));
    }
    header_->tensors.push_back({.name = key_});
    fields_.clear();
    offsets_.clear();
    place_ = Place::kTensor;
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor && !EndTensor()) return false;
    place_ = place_ == Place::kRoot ? Place::kEnd : Place::kRoot;
    return true;
  }

  bool start_array(size_t) override {
    if (place_ == Place::kTensor && key_ == "shape") {
      place_ = Place::kShape;
    } else if (place_ == Place::kTensor && key_ == "data_offsets") {
      place_ = Place::kOffsets;
    } else {
      return Misplaced("an array");
    }
    return true;
  }

  bool end_array() override {
    place_ = Place::kTensor;
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::kMetadata) {
      header_->metadata[key_] = value;
      return true;
    }
    if (place_ != Place::kTensor || key_ != "dtype") return Misplaced("a string");
    if (const std::optional<DType> dtype = DTypeFromName(value)) {
      header_->tensors.back().dtype = *dtype;
    } else if (std::find(std::begin(kUnreadTypes), std::end(kUnreadTypes), value) != std::end(kUnreadTypes)) {
      header_->tensors.back().unread_type = value;
    } else {
      return TensorFault(absl::StrCat("dtype ", QuotedName(value), " is none of the format's"));
    }
    return true;
  }

  bool number_unsigned(uint64_t value) override {
    if (place_ != Place::kShape && place_ != Place::kOffsets) return Misplaced("a number");
    if (value > static_cast<uint64_t>(INT64_MAX))
      return TensorFault(absl::StrCat(value, " in ", key_, " is too large"));
    std::vector<int64_t>& numbers = place_ == Place::kShape ? header_->tensors.back().shape : offsets_;
    if (place_ == Place::kShape && numbers.size() == kMaxDimensions) {
      return TensorFault(absl::StrCat("more than ", kMaxDimensions, " dimensions"));
    }
    if (place_ == Place::kOffsets && numbers.size() == 2) return TensorFault("more than two data_offsets");
    numbers.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool null() override { return Misplaced("null"); }
  bool boolean(bool) override { return Misplaced("true or false"); }
  bool number_integer(int64_t) override { return Misplaced("a negative number"); }
  bool number_float(double, const std::string&) override {
    return Misplaced("a number that is not a 64-bit integer");
  }
  bool binary(nlohmann::json::binary_t&) override { return Misplaced("binary data"); }

  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& error) override {
    return Fault(absl::StrCat("the header is not valid JSON: ", error.what()));
  }

 private:
  enum class Place : uint8_t { kStart, kRoot, kMetadata, kTensor, kShape, kOffsets, kEnd };

  bool Fault(const std::string& message) {
    fault_ = message;
    return false;
  }

  bool TensorFault(const std::string& message) {
    return Fault(absl::StrCat("tensor ", QuotedName(header_->tensors.back().name), ": ", message));
  }

  bool Misplaced(const char* what) {
    return Fault(absl::StrCat("the header has ", what, " where the format has none, at ", QuotedName(key_)));
  }

  bool EndTensor() {
    HeaderEntry& tensor = header_->tensors.back();
    if (fields_.size() != 3) return TensorFault("dtype, shape and data_offsets are all required");
    if (offsets_.size() != 2 || offsets_[0] > offsets_[1]) {
      return TensorFault("data_offsets must be [begin, end] with begin <= end");
    }
    tensor.begin = offsets_[0];
    tensor.end = offsets_[1];
    const std::optional<int64_t> count = CheckedProduct(tensor.shape);
    if (!tensor.unread_type.empty()) return true;
    const std::optional<int64_t> bytes =
        count ? CheckedMul(*count, static_cast<int64_t>(SizeOf(tensor.dtype))) : std::nullopt;
    if (!bytes) return TensorFault(absl::StrCat("shape ", ShapeText(tensor.shape), " overflows 64 bits"));
    if (*bytes != tensor.end - tensor.begin) {
      return TensorFault(absl::StrCat("shape ", ShapeText(tensor.shape), " of ",
                                      std::string(Name(tensor.dtype)), " takes ", *bytes,
                                      " bytes, but data_offsets span ", tensor.end - tensor.begin));
    }
    return true;
  }

  SafetensorsHeader* header_;
  Place place_ = Place::kStart;
  std::string key_;
  absl::flat_hash_set<std::string> names_;   // keys of the root
  absl::flat_hash_set<std::string> fields_;  // keys of the current tensor
  std::vector<int64_t> offsets_;
  std::string fault_;
};

absl::Status Damaged(const std::string& path, const std::string& what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what, "; the file is damaged: fetch it again"));
}

// Checks that every byte of the data belongs to exactly one tensor. Sorts the tensors by their place.
absl::Status CheckCoverage(std::vector<HeaderEntry>* tensors, int64_t data_bytes, const std::string& path) {
  std::sort(tensors->begin(), tensors->end(), [](const HeaderEntry& a, const HeaderEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  int64_t covered = 0;
  const HeaderEntry* previous = nullptr;
  for (const HeaderEntry& tensor : *tensors) {
    const auto damaged = [&](const std::string& what) {
      return Damaged(path, absl::StrCat("tensor ", QuotedName(tensor.name), " at data bytes ", tensor.begin,
                                        " to ", tensor.end, " ", what));
    };
    if (tensor.end > data_bytes) {
      return damaged(absl::StrCat("lies past the end of the data, ", data_bytes, " bytes"));
    }
    if (tensor.begin < covered) {
      return damaged(
          absl::StrCat("overlaps ", QuotedName(previous->name), ", which ends at data byte ", covered));
    }
    if (tensor.begin > covered) {
      return damaged(absl::StrCat("leaves a gap: the tensor before it ends at data byte ", covered));
    }
    covered = tensor.end;
    previous = &tensor;
  }
  if (covered != data_bytes) {
    return Damaged(path, absl::StrCat("the tensors end at data byte ", covered, ", but the file has ",
                                      data_bytes, " data bytes"));
  }
  return absl::OkStatus();
}

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> file,
                                                         const std::string& path) {
  if (AsText(file).substr(0, kLfsPointer.size()) == kLfsPointer) {
    return absl::DataLossError(absl::StrCat(
        path, ": a Git LFS pointer, not the weights themselves: run `git lfs pull` in its folder"));
  }
  if (file.size() < kLengthBytes) {
    return Damaged(path, absl::StrCat(file.size(), " bytes are too few for a safetensors file"));
  }
  uint64_t header_bytes = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) header_bytes |= std::to_integer<uint64_t>(file[i]) << (8 * i);
  if (header_bytes > kMaxHeaderBytes) {
    return Damaged(path, absl::StrCat("the header has ", header_bytes, " bytes, more than the format's ",
                                      kMaxHeaderBytes));
  }
  if (header_bytes > file.size() - kLengthBytes) {
    return Damaged(path, absl::StrCat("the header has ", header_bytes,
                                      " bytes, which does not fit in the file's ", file.size(), " bytes"));
  }
  const std::string_view json = AsText(file.subspan(kLengthBytes, header_bytes));
  if (json.empty() || json.front() != '{') return Damaged(path, "the header does not begin with '{'");

  SafetensorsHeader header;
  header.data_begin = static_cast<int64_t>(kLengthBytes + header_bytes);
  HeaderEvents events(&header);
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &events)) return Damaged(path, events.fault());
  const int64_t data_bytes = static_cast<int64_t>(file.size()) - header.data_begin;
  DR_RETURN_IF_ERROR(CheckCoverage(&header.tensors, data_bytes, path));
  return header;
}

}  // namespace deeprack::checkpoint
