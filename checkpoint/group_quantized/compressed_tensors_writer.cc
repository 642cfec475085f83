#include "checkpoint/group_quantized/compressed_tensors_writer.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/block_formats.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/quantize/group_quantize.h"
#include "base/status_macros.h"
#include "checkpoint/checkpoint_reader.h"
#include "checkpoint/group_quantized/compressed_tensors_config.h"
#include "checkpoint/group_quantized/group_parts.h"

namespace deeprack::checkpoint {
namespace {

static_assert(kGroup == BlockElements(DType::kInt4G128));
constexpr char kConfigFileName[] = "config.json";

int64_t RowsOf(const FolderTensor& tensor) { return tensor.shape.size() > 1 ? tensor.shape[0] : 1; }
int64_t ColumnsOf(const FolderTensor& tensor) { return tensor.shape.back(); }

template <class T>
std::span<const std::byte> BytesIn(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

std::string FileName(size_t file, size_t files) {
  return files == 1 ? std::string(kSingleFileName)
                    : absl::StrFormat("model-%05d-of-%05d.safetensors", file + 1, files);
}

absl::Status CannotWrite(const std::string& path, const std::error_code& error) {
  return absl::UnavailableError(absl::StrCat(path, ": cannot write: ", error.message()));
}

template <class T, class Convert>
std::vector<T> Converted(std::span<const float> values, Convert convert) {
  std::vector<T> converted(values.size());
  std::transform(values.begin(), values.end(), converted.begin(), convert);
  return converted;
}

}  // namespace

std::vector<SafetensorsRecord> StoredTensors(const FolderTensor& tensor, bool symmetric) {
  if (!IsBlockFormat(tensor.dtype)) return {{tensor.name, tensor.dtype, tensor.shape}};
  DR_CHECK(tensor.shape.size() == 2 && absl::EndsWith(tensor.name, ".weight"));
  const int64_t rows = tensor.shape[0];
  const int64_t cols = tensor.shape[1];
  if (tensor.dtype == DType::kInt8G128) {
    return {{tensor.name, DType::kI8, {rows, cols}}, {tensor.name + "_scale", DType::kBF16, {rows, 1}}};
  }
  DR_CHECK(tensor.dtype == DType::kInt4G128 && cols % kGroup == 0);
  const int64_t groups = cols / kGroup;
  std::vector<SafetensorsRecord> stored = {{tensor.name + "_packed", DType::kI32, {rows, cols / kWordValues}},
                                           {tensor.name + "_scale", DType::kBF16, {rows, groups}},
                                           {tensor.name + "_shape", DType::kI64, {2}}};
  if (!symmetric) {
    stored.push_back({tensor.name + "_zero_point", DType::kI32, {CeilDiv(rows, kWordValues), groups}});
  }
  return stored;
}

int64_t StoredBytes(const FolderTensor& tensor, bool symmetric) {
  int64_t bytes = 0;
  for (const SafetensorsRecord& stored : StoredTensors(tensor, symmetric)) bytes += BytesOf(stored);
  return bytes;
}

absl::StatusOr<std::unique_ptr<CompressedTensorsWriter>> CompressedTensorsWriter::Create(
    const std::string& folder, std::vector<FolderTensor> tensors, const CompressedTensorsOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return CannotWrite(folder, error);
  const bool empty = std::filesystem::is_empty(folder, error);
  if (error) return CannotWrite(folder, error);
  if (!empty) {
    return absl::FailedPreconditionError(absl::StrCat(
        folder, ": the folder holds something already; name a folder that is empty or does not exist"));
  }
  std::unique_ptr<CompressedTensorsWriter> writer(
      new CompressedTensorsWriter(folder, std::move(tensors), options.symmetric));
  DR_RETURN_IF_ERROR(writer->CreateFiles(options.file_bytes));
  return writer;
}

absl::Status CompressedTensorsWriter::CreateFiles(int64_t file_bytes) {
  struct Stored {
    SafetensorsRecord record;
    size_t tensor = 0;
    size_t part = 0;
  };
  std::vector<std::vector<Stored>> files(1);
  int64_t in_file = 0;
  parts_.resize(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (in_file >= file_bytes) {
      files.emplace_back();
      in_file = 0;
    }
    std::vector<SafetensorsRecord> records = StoredTensors(tensors_[i], symmetric_);
    parts_[i].resize(records.size());
    for (size_t part = 0; part < records.size(); ++part) {
      in_file += BytesOf(records[part]);
      files.back().push_back({std::move(records[part]), i, part});
    }
  }

  for (const FolderTensor& tensor : tensors_) stored_bytes_ += StoredBytes(tensor, symmetric_);
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(folder_, error);
  if (!error && space.available < static_cast<uintmax_t>(stored_bytes_)) {
    return absl::UnavailableError(absl::StrCat(folder_, ": the model needs ", stored_bytes_,
                                               " bytes, but its file system has ", space.available,
                                               " bytes left: make room or choose another place"));
  }

  for (size_t f = 0; f < files.size(); ++f) {
    std::vector<Stored>& stored = files[f];
    std::stable_sort(stored.begin(), stored.end(), [](const Stored& a, const Stored& b) {
      return SizeOf(a.record.dtype) > SizeOf(b.record.dtype);
    });
    std::vector<SafetensorsRecord> records;
    for (const Stored& one : stored) records.push_back(one.record);
    const std::string header = SafetensorsHeaderBytes(records, {{"format", "pt"}});
    std::vector<TensorFileWriter::Place> places;
    int64_t at = static_cast<int64_t>(header.size());
    for (const Stored& one : stored) {
      parts_[one.tensor][one.part] = {.file = f, .place = places.size()};
      places.push_back({.begin = at, .bytes = BytesOf(one.record)});
      at += places.back().bytes;
      index_.emplace_back(one.record.name, FileName(f, files.size()));
    }
    DR_ASSIGN_OR_RETURN(
        auto file, TensorFileWriter::Create(absl::StrCat(folder_, "/", FileName(f, files.size())), header,
                                            std::move(places), at));
    files_.push_back(std::move(file));
  }
  return absl::OkStatus();
}

absl::Status CompressedTensorsWriter::WritePart(size_t index, size_t part, int64_t offset,
                                                std::span<const std::byte> bytes) {
  const Part& where = parts_[index][part];
  return files_[where.file]->Write(where.place, offset, bytes);
}

absl::Status CompressedTensorsWriter::WriteStored(size_t index, int64_t row_begin,
                                                  std::span<const std::byte> bytes) {
  const FolderTensor& tensor = tensors_[index];
  DR_CHECK(!IsBlockFormat(tensor.dtype));
  return WritePart(index, 0, row_begin * ColumnsOf(tensor) * static_cast<int64_t>(SizeOf(tensor.dtype)),
                   bytes);
}

absl::Status CompressedTensorsWriter::WriteRows(size_t index, int64_t row_begin, int64_t rows,
                                                const float* values) {
  const FolderTensor& tensor = tensors_[index];
  DR_CHECK(row_begin % kRowStep == 0 && (rows % kRowStep == 0 || row_begin + rows == RowsOf(tensor)));
  const std::span<const float> all(values, static_cast<size_t>(rows * ColumnsOf(tensor)));
  switch (tensor.dtype) {
    case DType::kInt4G128:
      return WriteInt4Rows(index, row_begin, rows, values);
    case DType::kInt8G128:
      return WriteInt8Rows(index, row_begin, rows, values);
    case DType::kBF16:
      return WriteStored(index, row_begin, BytesIn(Converted<bf16>(all, ToBF16)));
    case DType::kF16:
      return WriteStored(index, row_begin, BytesIn(Converted<f16>(all, ToF16)));
    default:
      DR_CHECK(tensor.dtype == DType::kF32);
      return WriteStored(index, row_begin, std::as_bytes(all));
  }
}

absl::Status CompressedTensorsWriter::WriteInt4Rows(size_t index, int64_t row_begin, int64_t rows,
                                                    const float* values) {
  const int64_t cols = ColumnsOf(tensors_[index]);
  const int64_t groups = cols / kGroup;
  std::vector<uint8_t> packed(static_cast<size_t>(rows * cols / 2));  // the bytes of little-endian words
  std::vector<bf16> scales(static_cast<size_t>(rows * groups));
  std::vector<uint32_t> zeros(static_cast<size_t>(CeilDiv(rows, kWordValues) * groups));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t g = 0; g < groups; ++g) {
      const BlockInt4G128 block =
          QuantizeInt4Group({values + row * cols + g * kGroup, static_cast<size_t>(kGroup)}, symmetric_);
      const auto code = [&](int64_t i) {
        return static_cast<uint8_t>(i < kGroup / 2 ? block.qs[i] & 15 : block.qs[i - kGroup / 2] >> 4);
      };
      uint8_t* to = packed.data() + (row * cols + g * kGroup) / 2;
      for (int64_t i = 0; i < kGroup; i += 2) *to++ = static_cast<uint8_t>(code(i) | code(i + 1) << 4);
      scales[static_cast<size_t>(row * groups + g)] = ToBF16(block.scale);
      zeros[static_cast<size_t>(row / kWordValues * groups + g)] |= uint32_t{block.zero}
                                                                    << 4 * (row % kWordValues);
    }
  }
  DR_RETURN_IF_ERROR(WritePart(index, 0, row_begin * cols / 2, BytesIn(packed)));
  DR_RETURN_IF_ERROR(
      WritePart(index, 1, row_begin * groups * static_cast<int64_t>(sizeof(bf16)), BytesIn(scales)));
  if (row_begin == 0) {
    DR_RETURN_IF_ERROR(WritePart(index, 2, 0, BytesIn(tensors_[index].shape)));
  }
  if (symmetric_) return absl::OkStatus();
  return WritePart(index, 3, row_begin / kWordValues * groups * static_cast<int64_t>(sizeof(uint32_t)),
                   BytesIn(zeros));
}

absl::Status CompressedTensorsWriter::WriteInt8Rows(size_t index, int64_t row_begin, int64_t rows,
                                                    const float* values) {
  const int64_t cols = ColumnsOf(tensors_[index]);
  std::vector<int8_t> q(static_cast<size_t>(rows * cols));
  std::vector<bf16> scales;
  for (int64_t row = 0; row < rows; ++row) {
    scales.push_back(
        QuantizeInt8Row({values + row * cols, static_cast<size_t>(cols)}, q.data() + row * cols));
  }
  DR_RETURN_IF_ERROR(WritePart(index, 0, row_begin * cols, BytesIn(q)));
  return WritePart(index, 1, row_begin * static_cast<int64_t>(sizeof(bf16)), BytesIn(scales));
}

absl::Status CompressedTensorsWriter::Commit(const std::string& config_json,
                                             const std::vector<std::string>& unquantised) {
  DType type = DType::kInt4G128;
  for (const FolderTensor& tensor : tensors_) {
    if (IsBlockFormat(tensor.dtype)) type = tensor.dtype;
  }
  DR_ASSIGN_OR_RETURN(const std::string config,
                      WithCompressedTensors(config_json, type, symmetric_, unquantised));
  for (const auto& file : files_) DR_RETURN_IF_ERROR(file->Commit());
  if (files_.size() > 1) DR_RETURN_IF_ERROR(WriteSafetensorsIndex(folder_, index_, stored_bytes_));
  DR_ASSIGN_OR_RETURN(const auto file,
                      TensorFileWriter::Create(absl::StrCat(folder_, "/", kConfigFileName), config, {},
                                               static_cast<int64_t>(config.size())));
  return file->Commit();
}

}  // namespace deeprack::checkpoint
