#include "model/gguf/gguf_header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/block_formats.h"
#include "base/checked.h"
#include "base/message_text.h"
#include "base/status_macros.h"
#include "model/gguf/gguf_tensor_type.h"

namespace deeprack::model {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr std::string_view kLfsPointer = "version https://git-lfs";
constexpr char kAlignmentKey[] = "general.alignment";
constexpr int64_t kDefaultAlignment = 32;

// Bytes of the shortest string, array, metadata entry and tensor record. Counts are checked against the bytes
// left in the file divided by these.
constexpr int64_t kLeastStringBytes = 8;
constexpr int64_t kLeastArrayBytes = 4 + 8;
constexpr int64_t kLeastEntryBytes = 8 + 1 + 4 + 1;
constexpr int64_t kLeastTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class Reader {
 public:
  Reader(std::span<const std::byte> file, const std::string& path) : file_(file), path_(path) {}

  absl::StatusOr<GgufHeader> Read() {
    DR_RETURN_IF_ERROR(ReadStart());
    DR_RETURN_IF_ERROR(ReadMetadata());
    DR_RETURN_IF_ERROR(ReadAlignment());
    for (int64_t i = 0; i < tensor_count_; ++i) DR_RETURN_IF_ERROR(ReadTensor(i));
    DR_RETURN_IF_ERROR(PlaceTensors());
    return std::move(header_);
  }

 private:
  absl::Status Damaged(const std::string& what) const {
    return absl::DataLossError(absl::StrCat(path_, ": ", what, "; the file is damaged: fetch it again"));
  }

  absl::Status NotRead(const std::string& what) const {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": ", what));
  }

  absl::Status CutShort(const std::string& where) const {
    return Damaged(absl::StrCat("the file ends, after ", file_.size(), " bytes, within ", where));
  }

  int64_t Left() const { return static_cast<int64_t>(file_.size()) - at_; }

  template <class T>
  bool Take(T& value) {
    if (Left() < static_cast<int64_t>(sizeof(T))) return false;
    std::memcpy(&value, file_.data() + at_, sizeof(T));
    at_ += static_cast<int64_t>(sizeof(T));
    return true;
  }

  // Reads a string. DataLoss if it reaches beyond the file's end or is longer than `longest` bytes.
  absl::StatusOr<std::string_view> TakeString(int64_t longest, const std::string& where) {
    uint64_t length = 0;
    if (!Take(length)) return CutShort(where);
    if (length > static_cast<uint64_t>(Left())) {
      return Damaged(absl::StrCat(where, " has a string of ", length, " bytes, but ", Left(), " are left"));
    }
    if (length > static_cast<uint64_t>(longest)) {
      return Damaged(absl::StrCat(where, " is ", length, " bytes long; at most ", longest, " are allowed"));
    }
    const std::string_view text =
        AsText(file_.subspan(static_cast<size_t>(at_), static_cast<size_t>(length)));
    at_ += static_cast<int64_t>(length);
    return text;
  }

  absl::Status ReadStart() {
    if (AsText(file_).substr(0, kLfsPointer.size()) == kLfsPointer) {
      return absl::DataLossError(absl::StrCat(
          path_, ": a Git LFS pointer, not the weights themselves: run `git lfs pull` in its folder"));
    }
    if (AsText(file_).substr(0, kMagic.size()) != kMagic) {
      return Damaged(absl::StrCat("the file begins with ", QuotedName(AsText(file_).substr(0, kMagic.size())),
                                  ", not with \"GGUF\""));
    }
    at_ = static_cast<int64_t>(kMagic.size());
    uint64_t tensors = 0;
    uint64_t keys = 0;
    if (!Take(header_.version)) return CutShort("its version");
    if (header_.version != 0 && (header_.version & 0xffffu) == 0) {
      return NotRead(
          "this GGUF is big-endian, only little-endian files are read: fetch or make a little-endian file");
    }
    if (header_.version != 2 && header_.version != 3) {
      return NotRead(absl::StrCat("the file's GGUF version is ", header_.version,
                                  ", versions 2 and 3 are read: convert the model again"));
    }
    if (!Take(tensors) || !Take(keys)) return CutShort("its counts");
    if (tensors > static_cast<uint64_t>(kMaxGgufTensors) || keys > static_cast<uint64_t>(kMaxGgufKeys)) {
      return Damaged(absl::StrCat("the header counts ", tensors, " tensors and ", keys,
                                  " metadata entries; at most ", kMaxGgufTensors, " and ", kMaxGgufKeys,
                                  " are read"));
    }
    tensor_count_ = static_cast<int64_t>(tensors);
    key_count_ = static_cast<int64_t>(keys);
    if (key_count_ > Left() / kLeastEntryBytes || tensor_count_ > Left() / kLeastTensorBytes) {
      return Damaged(absl::StrCat("the header counts ", tensors, " tensors and ", keys,
                                  " metadata entries, but ", Left(), " bytes are left"));
    }
    return absl::OkStatus();
  }

  absl::Status ReadMetadata() {
    absl::flat_hash_set<std::string> keys;
    for (int64_t i = 0; i < key_count_; ++i) {
      DR_ASSIGN_OR_RETURN(const std::string_view key,
                          TakeString(kMaxGgufKeyBytes, absl::StrCat("metadata key ", i)));
      if (key.empty()) return Damaged(absl::StrCat("metadata key ", i, " is empty"));
      const std::string where = absl::StrCat("metadata key ", QuotedName(key));
      if (!keys.insert(std::string(key)).second) return Damaged(absl::StrCat(where, " occurs twice"));
      uint32_t type = 0;
      if (!Take(type)) return CutShort(where);
      DR_ASSIGN_OR_RETURN(const std::optional<GgufValue> value, TakeValue(type, where, 0));
      if (value) header_.metadata.emplace(std::string(key), *value);
    }
    return absl::OkStatus();
  }

  // Reads the value at the current position. nullopt for an array of arrays, which is checked and skipped.
  absl::StatusOr<std::optional<GgufValue>> TakeValue(uint32_t type, const std::string& where, int depth) {
    if (type > static_cast<uint32_t>(GgufType::kFloat64)) {
      return Damaged(absl::StrCat(where, " has the unknown type ", type));
    }
    GgufValue value{.type = static_cast<GgufType>(type)};
    if (value.type == GgufType::kArray) {
      uint32_t element = 0;
      uint64_t count = 0;
      if (!Take(element) || !Take(count)) return CutShort(where);
      if (element > static_cast<uint32_t>(GgufType::kFloat64)) {
        return Damaged(absl::StrCat(where, " is an array of the unknown type ", element));
      }
      value.type = static_cast<GgufType>(element);
      value.is_array = true;
      const int64_t least = value.type == GgufType::kString  ? kLeastStringBytes
                            : value.type == GgufType::kArray ? kLeastArrayBytes
                                                             : ElementBytes(value.type);
      if (count > static_cast<uint64_t>(Left() / least)) {
        return Damaged(
            absl::StrCat(where, " is an array of ", count, " values, but ", Left(), " bytes are left"));
      }
      value.count = static_cast<int64_t>(count);
    }
    if (value.type == GgufType::kArray) return PassOverArrays(value.count, where, depth + 1);

    const int64_t begin = at_;
    if (value.type == GgufType::kString) {
      for (int64_t i = 0; i < value.count; ++i) {
        DR_RETURN_IF_ERROR(TakeString(static_cast<int64_t>(file_.size()), where).status());
      }
    } else {
      // No overflow: an array's count was checked above.
      const int64_t bytes = value.count * ElementBytes(value.type);
      if (bytes > Left()) return CutShort(where);
      at_ += bytes;
    }
    value.bytes = file_.subspan(static_cast<size_t>(begin), static_cast<size_t>(at_ - begin));
    return std::optional<GgufValue>(value);
  }

  absl::StatusOr<std::optional<GgufValue>> PassOverArrays(int64_t count, const std::string& where,
                                                          int depth) {
    if (depth == kMaxGgufArrayDepth) {
      return Damaged(absl::StrCat(where, " has arrays nested more than ", kMaxGgufArrayDepth, " deep"));
    }
    for (int64_t i = 0; i < count; ++i) {
      DR_RETURN_IF_ERROR(TakeValue(static_cast<uint32_t>(GgufType::kArray), where, depth).status());
    }
    return std::optional<GgufValue>();
  }

  absl::Status ReadAlignment() {
    header_.alignment = kDefaultAlignment;
    const auto found = header_.metadata.find(kAlignmentKey);
    if (found == header_.metadata.end()) return absl::OkStatus();
    const std::optional<int64_t> alignment = found->second.Integer();
    if (!alignment || *alignment < 1 || *alignment > kMaxGgufAlignment ||
        !std::has_single_bit(static_cast<uint64_t>(*alignment))) {
      return Damaged(absl::StrCat(kAlignmentKey, " must be a power of two up to ", kMaxGgufAlignment,
                                  ", found ", alignment ? absl::StrCat(*alignment) : "no integer"));
    }
    header_.alignment = *alignment;
    return absl::OkStatus();
  }

  absl::Status ReadTensor(int64_t index) {
    DR_ASSIGN_OR_RETURN(const std::string_view name,
                        TakeString(kMaxGgufNameBytes, absl::StrCat("the name of tensor ", index)));
    GgufTensor tensor{.name = std::string(name)};
    const std::string where = absl::StrCat("tensor ", QuotedName(name));
    if (name.empty()) return Damaged(absl::StrCat("tensor ", index, " has no name"));
    if (!names_.insert(tensor.name).second) return Damaged(absl::StrCat(where, " occurs twice"));

    uint32_t dimensions = 0;
    if (!Take(dimensions)) return CutShort(where);
    if (dimensions < 1 || dimensions > kMaxGgufDimensions) {
      return Damaged(
          absl::StrCat(where, " has ", dimensions, " dimensions; 1 to ", kMaxGgufDimensions, " are allowed"));
    }
    for (uint32_t i = 0; i < dimensions; ++i) {
      int64_t size = 0;
      if (!Take(size)) return CutShort(where);
      if (size < 1) return Damaged(absl::StrCat(where, " has a dimension of ", size));
      tensor.shape.insert(tensor.shape.begin(), size);
    }
    uint32_t type = 0;
    uint64_t offset = 0;
    if (!Take(type) || !Take(offset)) return CutShort(where);
    const std::string type_name = GgufTensorTypeName(type);
    if (type_name.empty()) return Damaged(absl::StrCat(where, " has the unknown type ", type));
    if (const std::optional<DType> dtype = GgufTensorDType(type)) {
      tensor.dtype = *dtype;
    } else {
      tensor.unread_type = type_name;
    }
    return SizeTensor(std::move(tensor), offset, where);
  }

  // Sets a tensor's bytes, 0 for an unread type, and its offset in the data; the data's beginning is known
  // only after the last record.
  absl::Status SizeTensor(GgufTensor tensor, uint64_t offset, const std::string& where) {
    const bool is_read = tensor.unread_type.empty();
    const int64_t block = is_read ? BlockElements(tensor.dtype) : 1;
    if (tensor.shape.back() % block != 0) {
      return Damaged(absl::StrCat(where, " ", ShapeText(tensor.shape), " of ",
                                  std::string(Name(tensor.dtype)),
                                  ": a row is not a whole number of blocks of ", block));
    }
    const std::optional<int64_t> elements = CheckedProduct(tensor.shape);
    const std::optional<int64_t> bytes =
        elements ? CheckedMul(*elements / block, is_read ? BlockBytes(tensor.dtype) : 0) : std::nullopt;
    if (!bytes) {
      return Damaged(absl::StrCat(where, ": shape ", ShapeText(tensor.shape), " overflows 64 bits"));
    }
    if (offset % static_cast<uint64_t>(header_.alignment) != 0) {
      return Damaged(absl::StrCat(where, " begins at data byte ", offset, ", which is not a multiple of the ",
                                  "alignment ", header_.alignment));
    }
    if (offset > file_.size() || *bytes > static_cast<int64_t>(file_.size())) {
      return Damaged(absl::StrCat(where, ", ", *bytes, " bytes at data byte ", offset, ", does not fit in ",
                                  "the file's ", file_.size(), " bytes"));
    }
    tensor.begin = static_cast<int64_t>(offset);
    tensor.bytes = *bytes;
    header_.tensors.push_back(std::move(tensor));
    return absl::OkStatus();
  }

  // All sizes are at most the file's by now, so that sums of two do not overflow.
  absl::Status PlaceTensors() {
    header_.data_begin = RoundUp(at_, header_.alignment);
    std::sort(header_.tensors.begin(), header_.tensors.end(),
              [](const GgufTensor& a, const GgufTensor& b) { return a.begin < b.begin; });
    const auto file_bytes = static_cast<int64_t>(file_.size());
    const GgufTensor* previous = nullptr;
    for (size_t i = 0; i < header_.tensors.size(); ++i) {
      GgufTensor& tensor = header_.tensors[i];
      tensor.begin += header_.data_begin;
      if (!tensor.unread_type.empty()) {
        const bool is_last = i + 1 == header_.tensors.size();
        const int64_t next = is_last ? file_bytes : header_.data_begin + header_.tensors[i + 1].begin;
        tensor.bytes = std::max<int64_t>(0, std::min(next, file_bytes) - tensor.begin);
      }
      const int64_t end = tensor.begin + tensor.bytes;
      if (end > file_bytes) {
        return Damaged(absl::StrCat("tensor ", QuotedName(tensor.name), " ends at byte ", end,
                                    ", but the file has ", file_.size()));
      }
      if (previous != nullptr && tensor.begin < previous->begin + previous->bytes) {
        return Damaged(absl::StrCat("tensor ", QuotedName(tensor.name), " at byte ", tensor.begin,
                                    " overlaps ", QuotedName(previous->name), ", which ends at ",
                                    previous->begin + previous->bytes));
      }
      previous = &tensor;
    }
    return absl::OkStatus();
  }

  const std::span<const std::byte> file_;
  const std::string& path_;
  int64_t at_ = 0;
  int64_t tensor_count_ = 0;
  int64_t key_count_ = 0;
  absl::flat_hash_set<std::string> names_;
  GgufHeader header_;
};

}  // namespace

absl::StatusOr<GgufHeader> ParseGgufHeader(std::span<const std::byte> file, const std::string& path) {
  return Reader(file, path).Read();
}

}  // namespace deeprack::model
