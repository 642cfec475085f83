#include "cli/quantize/quantize_tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/block_formats.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/quantize/block_quantize.h"
#include "base/status_macros.h"
#include "cli/quantize/parallel_units.h"

namespace deeprack::cli {
namespace {

constexpr int64_t kUnitElements = 2 << 20;
constexpr float kLargestHalf = 65504.0f;

// The work that a thread takes at one time: a piece, or some rows of one.
struct Unit {
  size_t tensor = 0;
  TensorPiece piece;
  int64_t out_row = 0;  // the first row of the tensor that this unit fills
};

std::vector<Unit> UnitsOf(const std::vector<PlannedTensor>& plan, const WeightSource& source) {
  std::vector<Unit> units;
  for (size_t index = 0; index < plan.size(); ++index) {
    int64_t out_row = 0;
    for (const TensorPiece& piece : plan[index].pieces) {
      const int64_t cols = source.Columns(piece.source);
      const bool whole = piece.order != RowOrder::kAsStored;
      const int64_t step = whole ? piece.rows : std::max<int64_t>(1, kUnitElements / cols);
      for (int64_t begin = 0; begin < piece.rows; begin += step) {
        Unit unit = {.tensor = index, .piece = piece, .out_row = out_row + begin};
        unit.piece.row_begin += begin;
        unit.piece.rows = std::min(step, piece.rows - begin);
        units.push_back(std::move(unit));
      }
      out_row += piece.order == RowOrder::kTransposed ? cols : piece.rows;
    }
  }
  return units;
}

// `out` is `read` with its rows in their new order: [rows, cols], or [cols, rows] when transposed.
void Arrange(RowOrder order, const std::vector<float>& read, int64_t rows, int64_t cols,
             std::vector<float>& out) {
  out.resize(read.size());
  for (int64_t row = 0; row < rows; ++row) {
    if (order == RowOrder::kTransposed) {
      for (int64_t col = 0; col < cols; ++col) out[col * rows + row] = read[row * cols + col];
    } else {
      const int64_t to = row % (rows / 2) * 2 + row / (rows / 2);
      std::copy_n(read.begin() + row * cols, cols, out.begin() + to * cols);
    }
  }
}

template <class T, class Convert>
void Store(std::span<const float> values, const Convert& convert, std::vector<std::byte>& out) {
  out.resize(values.size() * sizeof(T));
  for (size_t i = 0; i < values.size(); ++i) {
    const T value = convert(values[i]);
    std::memcpy(out.data() + i * sizeof(T), &value, sizeof(T));
  }
}

absl::Status Encode(DType type, std::span<const float> values, const std::string& name,
                    std::vector<std::byte>& out) {
  switch (type) {
    case DType::kF32:
      Store<float>(
          values, [](float value) { return value; }, out);
      return absl::OkStatus();
    case DType::kBF16:
      Store<bf16>(values, ToBF16, out);
      return absl::OkStatus();
    case DType::kF16:
      for (float value : values) {
        if (std::fabs(value) <= kLargestHalf) continue;
        return absl::FailedPreconditionError(absl::StrCat(
            "tensor ", name, " holds ", value, ", which F16 cannot: choose another --type, as BF16"));
      }
      Store<f16>(values, ToF16, out);
      return absl::OkStatus();
    default:
      out.resize(static_cast<size_t>(BytesOf(type, static_cast<int64_t>(values.size()))));
      Quantize(type, values.data(), static_cast<int64_t>(values.size()), out.data());
      return absl::OkStatus();
  }
}

class Run {
 public:
  Run(const std::vector<PlannedTensor>& plan, const WeightSource& source,
      checkpoint::TensorFileWriter& writer, QuantizeProgress& progress)
      : plan_(plan), source_(source), writer_(writer), progress_(progress), units_(UnitsOf(plan, source)) {}

  absl::Status Work(int threads) {
    for (size_t index = 0; index < plan_.size(); ++index) {
      if (plan_[index].values.empty()) continue;
      std::vector<std::byte> bytes;
      const checkpoint::GgufTensorRecord& record = plan_[index].record;
      DR_RETURN_IF_ERROR(Encode(record.dtype, plan_[index].values, record.name, bytes));
      DR_RETURN_IF_ERROR(Write(index, 0, bytes));
    }
    return ForUnits(units_.size(), threads, [this]() -> UnitWork {
      return [this, buffers = Buffers()](size_t unit) mutable { return Do(units_[unit], buffers); };
    });
  }

 private:
  struct Buffers {
    std::vector<float> read, arranged;
    std::vector<std::byte> bytes;
  };

  absl::Status Do(const Unit& unit, Buffers& buffers) {
    const PlannedTensor& tensor = plan_[unit.tensor];
    const TensorPiece& piece = unit.piece;
    const DType type = tensor.record.dtype;
    const int64_t cols = source_.Columns(piece.source);
    const int64_t offset = unit.out_row * BytesOf(type, tensor.record.shape.back());

    buffers.read.resize(static_cast<size_t>(piece.rows * cols));
    DR_RETURN_IF_ERROR(source_.ReadRows(piece.source, piece.row_begin, piece.rows, buffers.read.data()));
    if (piece.order == RowOrder::kAsStored && source_.Type(piece.source) == type) {
      // The stored type is already the wanted one. ReadRows above only checked the values.
      return Write(unit.tensor, offset, source_.StoredRows(piece.source, piece.row_begin, piece.rows));
    }
    const bool arrange = piece.order != RowOrder::kAsStored;
    if (arrange) Arrange(piece.order, buffers.read, piece.rows, cols, buffers.arranged);
    DR_RETURN_IF_ERROR(
        Encode(type, arrange ? buffers.arranged : buffers.read, tensor.record.name, buffers.bytes));
    return Write(unit.tensor, offset, buffers.bytes);
  }

  absl::Status Write(size_t tensor, int64_t offset, std::span<const std::byte> bytes) {
    DR_RETURN_IF_ERROR(writer_.Write(tensor, offset, bytes));
    progress_.Add(static_cast<int64_t>(bytes.size()));
    return absl::OkStatus();
  }

  const std::vector<PlannedTensor>& plan_;
  const WeightSource& source_;
  checkpoint::TensorFileWriter& writer_;
  QuantizeProgress& progress_;
  const std::vector<Unit> units_;
};

}  // namespace

absl::Status QuantizeTensors(const std::vector<PlannedTensor>& plan, const WeightSource& source, int threads,
                             checkpoint::TensorFileWriter& writer, QuantizeProgress& progress) {
  return Run(plan, source, writer, progress).Work(threads);
}

}  // namespace deeprack::cli
