#include "checkpoint/dummy_tensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/checked.h"
#include "base/e4m3.h"
#include "base/fnv.h"
#include "base/status_macros.h"
#include "model/tensors/group_types.h"
#include "model/tensors/tensor_registry.h"

namespace deeprack::checkpoint {
namespace {

using model::GroupLayout;
using model::TensorKind;
using model::TensorSpec;

// A prime number of pages, so that the rows of a matrix seldom begin at the same place of the block.
constexpr int64_t kBlockBytes = int64_t{1021} * 4096;
constexpr int64_t kBeginStepBytes = 64;  // tensors begin at multiples of this

constexpr float kDeviation = 0.02f;  // Hugging Face's initializer_range
// A uniform distribution with this half width has the standard deviation kDeviation.
constexpr float kHalfWidth = 1.732f * kDeviation;
constexpr int64_t kGroup = 128;

// The kinds of values. Each kind has one repeated block.
enum Values : uint8_t { kWeights, kOnes, kE4M3, kE4M3Scales, kCodes, kInt4Scales, kInt8Scales, kKinds };

constexpr DType TypeOf(Values values) {
  switch (values) {
    case kE4M3:
      return DType::kF8E4M3;
    case kE4M3Scales:
      return DType::kF32;
    case kCodes:
      return DType::kI32;
    default:
      return DType::kBF16;
  }
}

// SplitMix64 with `counter` as state.
uint64_t Mixed(uint64_t counter) {
  uint64_t z = (counter + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// A uniform number in [-1, 1).
float Uniform(uint64_t counter) { return static_cast<float>(Mixed(counter) >> 40) * 0x1p-23f - 1.0f; }

template <class T, class ValueAt>
std::vector<std::byte> BlockOf(const ValueAt& value_at) {
  std::vector<std::byte> block(static_cast<size_t>(kBlockBytes));
  for (size_t i = 0; i < block.size() / sizeof(T); ++i) {
    const T value = value_at(i);
    std::memcpy(block.data() + i * sizeof(T), &value, sizeof(T));
  }
  return block;
}

// Scales differ by a factor of up to three, so that a product with a wrong scale gives a wrong result.
float Scale(float mean, uint64_t counter) { return mean * (1 + 0.5f * Uniform(counter)); }

std::vector<std::byte> MakeBlock(Values values) {
  const uint64_t first = uint64_t{values} << 32;
  switch (values) {
    case kWeights:
      return BlockOf<bf16>([&](uint64_t i) { return ToBF16(kHalfWidth * Uniform(first + i)); });
    case kOnes:
      return BlockOf<bf16>([](uint64_t) { return ToBF16(1); });
    case kE4M3:
      return BlockOf<fp8_e4m3>([&](uint64_t i) { return ToE4M3(kLargestE4M3 * Uniform(first + i)); });
    case kE4M3Scales:
      return BlockOf<float>([&](uint64_t i) { return Scale(kHalfWidth / kLargestE4M3, first + i); });
    case kCodes:
      return BlockOf<uint64_t>([&](uint64_t i) { return Mixed(first + i); });
    case kInt4Scales:
      return BlockOf<bf16>([&](uint64_t i) { return ToBF16(Scale(kHalfWidth / 8, first + i)); });
    case kInt8Scales:
      return BlockOf<bf16>([&](uint64_t i) { return ToBF16(Scale(kHalfWidth / 128, first + i)); });
    case kKinds:
      break;
  }
  return {};
}

bool IsNorm(TensorKind kind) {
  switch (kind) {
    case TensorKind::kFinalNorm:
    case TensorKind::kInputNorm:
    case TensorKind::kPostAttentionNorm:
    case TensorKind::kQANorm:
    case TensorKind::kKvANorm:
    case TensorKind::kMtpEmbedNorm:
    case TensorKind::kMtpHiddenNorm:
    case TensorKind::kMtpHeadNorm:
      return true;
    default:
      return false;
  }
}

// A tensor before its place in a block is known.
struct Entry {
  std::string name;
  Values values = kWeights;
  DType dtype = DType::kBF16;
  std::vector<int64_t> shape;
  std::vector<int64_t> own;  // the exact values; empty: values of kind `values`

  int64_t bytes() const { return BytesOf(dtype, *CheckedProduct(shape)); }
};

class Entries {
 public:
  explicit Entries(const model::ModelConfig& config) : config_(config) {}

  void AddAll(const std::vector<TensorSpec>& tensors) {
    for (const TensorSpec& tensor : tensors) Add(tensor);
  }
  std::vector<Entry> Take() { return std::move(entries_); }

 private:
  void Add(const TensorSpec& tensor) {
    if (model::IsStoredInGroups(config_, tensor)) return AddGroups(tensor);
    if (tensor.quantized && config_.quantization_config.has_value()) {
      Add(tensor.name, kE4M3, tensor.shape);
      Add(tensor.scale_name(), kE4M3Scales,
          {CeilDiv(tensor.shape[0], config_.quantization_config->block_rows),
           CeilDiv(tensor.shape[1], config_.quantization_config->block_cols)});
      return;
    }
    Add(tensor.name, IsNorm(tensor.kind) ? kOnes : kWeights, tensor.shape);
  }

  // Adds the parts that model/config/group_quantization.h describes.
  void AddGroups(const TensorSpec& tensor) {
    const model::GroupQuantization& quantization = *config_.group_quantization;
    const std::string module(absl::StripSuffix(tensor.name, ".weight"));
    const int64_t rows = tensor.shape[0], cols = tensor.shape[1], groups = CeilDiv(cols, kGroup);
    const auto add = [&](const char* part, Values values, std::vector<int64_t> shape) {
      Add(absl::StrCat(module, part), values, std::move(shape));
    };
    switch (quantization.layout) {
      case GroupLayout::kAwq:
      case GroupLayout::kGptq:
        add(".qweight", kCodes,
            quantization.layout == GroupLayout::kAwq ? std::vector<int64_t>{cols, rows / 8}
                                                     : std::vector<int64_t>{cols / 8, rows});
        add(".qzeros", kCodes, {groups, rows / 8});
        add(".scales", kInt4Scales, {groups, rows});
        if (quantization.act_order) AddColumnGroups(absl::StrCat(module, ".g_idx"), cols, groups);
        break;
      case GroupLayout::kPackQuantized:
        add(".weight_packed", kCodes, {rows, CeilDiv(cols, 8)});
        add(".weight_scale", kInt4Scales, {rows, groups});
        if (!quantization.symmetric) add(".weight_zero_point", kCodes, {CeilDiv(rows, 8), groups});
        if (quantization.act_order) AddColumnGroups(absl::StrCat(module, ".weight_g_idx"), cols, groups);
        entries_.push_back({.name = absl::StrCat(module, ".weight_shape"),
                            .dtype = DType::kI64,
                            .shape = {2},
                            .own = {rows, cols}});
        break;
      case GroupLayout::kIntQuantized:
        add(".weight", kCodes, {rows, cols});
        entries_.back().dtype = DType::kI8;
        add(".weight_scale", kInt8Scales, {rows, 1});
        break;
    }
  }

  // Columns' groups are out of order, as in checkpoints with act_order.
  void AddColumnGroups(std::string name, int64_t cols, int64_t groups) {
    std::vector<int64_t> group_of(static_cast<size_t>(cols));
    for (int64_t c = 0; c < cols; ++c) group_of[static_cast<size_t>(c)] = c % groups;
    entries_.push_back(
        {.name = std::move(name), .dtype = DType::kI32, .shape = {cols}, .own = std::move(group_of)});
  }

  void Add(std::string name, Values values, std::vector<int64_t> shape) {
    entries_.push_back(
        {.name = std::move(name), .values = values, .dtype = TypeOf(values), .shape = std::move(shape)});
  }

  const model::ModelConfig& config_;
  std::vector<Entry> entries_;
};

std::vector<std::byte> BytesOfOwn(const Entry& entry) {
  std::vector<std::byte> bytes(static_cast<size_t>(entry.bytes()));
  const size_t size = SizeOf(entry.dtype);
  for (size_t i = 0; i < entry.own.size(); ++i) {  // little-endian
    std::memcpy(bytes.data() + i * size, &entry.own[i], size);
  }
  return bytes;
}

}  // namespace

absl::StatusOr<DummyTensors> DummyTensors::Create(const model::ModelConfig& config) {
  Entries all(config);
  all.AddAll(model::TensorsOf(config));
  std::vector<Entry> entries = all.Take();

  std::array<int64_t, kKinds> largest = {};
  for (const Entry& entry : entries) {
    if (entry.own.empty()) largest[entry.values] = std::max(largest[entry.values], entry.bytes());
  }
  DummyTensors dummy;
  dummy.values_.resize(kKinds);
  for (int kind = 0; kind < kKinds; ++kind) {
    if (largest[kind] == 0) continue;
    DR_ASSIGN_OR_RETURN(dummy.values_[kind], RepeatedMemory::Create(MakeBlock(static_cast<Values>(kind)),
                                                                    kBlockBytes + largest[kind]));
  }
  std::map<std::pair<DType, std::vector<int64_t>>, size_t> own;  // equal values are stored once
  for (Entry& entry : entries) {
    const auto bytes = static_cast<size_t>(entry.bytes());
    TensorView& view = dummy.tensors_[entry.name];
    view.dtype = entry.dtype;
    if (entry.own.empty()) {
      const uint64_t begin = Fnv1a(entry.name) % (kBlockBytes / kBeginStepBytes) * kBeginStepBytes;
      view.bytes = dummy.values_[entry.values].bytes().subspan(begin, bytes);
    } else {
      const auto [found, is_new] = own.try_emplace({entry.dtype, entry.own}, dummy.own_.size());
      if (is_new) dummy.own_.push_back(BytesOfOwn(entry));
      view.bytes = dummy.own_[found->second];
    }
    view.shape = std::move(entry.shape);
  }
  return dummy;
}

const TensorView* DummyTensors::Find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

std::vector<std::string> DummyTensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, view] : tensors_) names.push_back(name);
  return names;
}

int64_t DummyTensors::total_bytes() const {
  int64_t bytes = 0;
  for (const auto& [name, view] : tensors_) bytes += static_cast<int64_t>(view.bytes.size());
  return bytes;
}

}  // namespace deeprack::checkpoint
