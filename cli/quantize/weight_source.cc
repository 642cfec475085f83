#include "cli/quantize/weight_source.h"

#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/block_formats.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "checkpoint/group_quantized/group_quantized.h"
#include "checkpoint/tensor_view.h"
#include "model/tensors/group_types.h"

namespace deeprack::cli {
namespace {

constexpr int64_t kScaleBlock = 128;  // a block of fp8 with one scale has this number of rows and of columns
constexpr char kScaleSuffix[] = "_scale_inv";

// Converts elements of type T, at any alignment, to fp32.
template <class T>
void Widen(std::span<const std::byte> bytes, int64_t elements, float* out) {
  const std::byte* from = bytes.data();
  for (int64_t i = 0; i < elements; ++i) {
    T value;
    std::memcpy(&value, from + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    out[i] = ToFloat(value);
  }
}

bool AllFinite(const float* values, int64_t count) {
  bool finite = true;
  for (int64_t i = 0; i < count; ++i) finite &= std::isfinite(values[i]);
  return finite;
}

}  // namespace

WeightSource::WeightSource(const model::ModelConfig* config, const checkpoint::CheckpointReader* reader)
    : config_(*config), reader_(*reader) {
  for (model::TensorSpec& tensor : model::TensorsOf(config_)) {
    if (model::IsStoredInGroups(config_, tensor)) in_groups_.emplace(tensor.name, std::move(tensor));
  }
}

int64_t WeightSource::Columns(const std::string& name) const {
  if (const auto groups = in_groups_.find(name); groups != in_groups_.end()) return groups->second.shape[1];
  const checkpoint::TensorView* view = reader_.Find(name);
  DR_CHECK(view != nullptr && !view->shape.empty());
  return view->shape.back();
}

DType WeightSource::Type(const std::string& name) const {
  if (in_groups_.contains(name)) return config_.group_quantization->type();
  const checkpoint::TensorView* view = reader_.Find(name);
  DR_CHECK(view != nullptr);
  return view->dtype;
}

std::span<const std::byte> WeightSource::StoredRows(const std::string& name, int64_t row_begin,
                                                    int64_t rows) const {
  const checkpoint::TensorView* view = reader_.Find(name);
  DR_CHECK(view != nullptr && !view->shape.empty());
  const int64_t row_bytes = BytesOf(view->dtype, view->shape.back());
  DR_CHECK((row_begin + rows) * row_bytes <= static_cast<int64_t>(view->bytes.size()));
  return view->bytes.subspan(static_cast<size_t>(row_begin * row_bytes),
                             static_cast<size_t>(rows * row_bytes));
}

absl::Status WeightSource::ReadRows(const std::string& name, int64_t row_begin, int64_t rows,
                                    float* out) const {
  if (const auto groups = in_groups_.find(name); groups != in_groups_.end()) {
    const std::vector<int64_t>& shape = groups->second.shape;
    DR_ASSIGN_OR_RETURN(const auto weight,
                        checkpoint::GroupQuantizedWeight::Open(reader_, *config_.group_quantization, name,
                                                               shape[0], shape[1]));
    return weight.ReadValues({row_begin, rows, 0, shape[1]}, out);
  }
  const std::span<const std::byte> bytes = StoredRows(name, row_begin, rows);
  const DType type = Type(name);
  const int64_t elements = rows * Columns(name);
  switch (type) {
    case DType::kF32:
      Widen<float>(bytes, elements, out);
      break;
    case DType::kBF16:
      Widen<bf16>(bytes, elements, out);
      break;
    case DType::kF16:
      Widen<f16>(bytes, elements, out);
      break;
    case DType::kF8E4M3:
      DR_RETURN_IF_ERROR(ReadFp8Rows(name, row_begin, rows, out));
      break;
    default:
      DR_CHECK(IsBlockFormat(type));
      Dequantize(type, bytes.data(), elements, out);
  }
  if (AllFinite(out, elements)) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("tensor ", name, " in ", reader_.FileOf(name),
                                          " holds NaN or infinity: the file is damaged; fetch it again"));
}

// value = fp8 * scale of its block, in fp32
absl::Status WeightSource::ReadFp8Rows(const std::string& name, int64_t row_begin, int64_t rows,
                                       float* out) const {
  const int64_t cols = Columns(name);
  Widen<fp8_e4m3>(StoredRows(name, row_begin, rows), rows * cols, out);
  DR_ASSIGN_OR_RETURN(const checkpoint::TensorView scales, reader_.Get(name + kScaleSuffix));
  const int64_t scale_cols = scales.shape.back();
  for (int64_t row = row_begin; row < row_begin + rows; ++row) {
    for (int64_t col = 0; col < cols; ++col) {
      const int64_t block = row / kScaleBlock * scale_cols + col / kScaleBlock;
      float scale = 0;
      std::memcpy(&scale, scales.bytes.data() + block * static_cast<int64_t>(sizeof(float)), sizeof(float));
      *out++ *= scale;
    }
  }
  return absl::OkStatus();
}

}  // namespace deeprack::cli
