// Files for the tests of checkpoint/: a temporary folder, files with any bytes, a small model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/safetensors_writer.h"
#include "gtest/gtest.h"
#include "model/config/model_config.h"
#include "model/tensors/tensor_registry.h"

namespace deeprack::checkpoint {

// A new folder, which the destructor removes.
class TestFolder {
 public:
  TestFolder() {
    std::string pattern = ::testing::TempDir() + "/checkpoint_XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline void WriteBytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

inline std::string ReadBytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The bytes of a safetensors file with this header; the header may be invalid.
inline std::string FileOf(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int shift = 0; shift < 64; shift += 8) {
    bytes.push_back(static_cast<char>(uint64_t{header.size()} >> shift & 0xff));
  }
  return bytes + header + data;
}

inline std::span<const std::byte> AsBytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// A tensor to write.
struct TestTensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::string file = "model.safetensors";
};

using TestTensors = std::map<std::string, TestTensor>;

// Writes the tensors, filled with a pattern, to their files, and an index if there are several files.
inline void WriteTensors(const TestFolder& folder, const TestTensors& tensors, bool with_index = false) {
  std::map<std::string, SafetensorsWriter> files;
  std::vector<std::pair<std::string, std::string>> index;
  std::vector<std::string> data;
  data.reserve(tensors.size());
  int64_t total = 0;
  for (const auto& [name, tensor] : tensors) {
    size_t bytes = SizeOf(tensor.dtype);
    for (int64_t dimension : tensor.shape) bytes *= static_cast<size_t>(dimension);
    data.emplace_back(bytes, static_cast<char>('a' + data.size() % 26));
    files[tensor.file].Add(name, tensor.dtype, tensor.shape, AsBytes(data.back()));
    index.emplace_back(name, tensor.file);
    total += static_cast<int64_t>(bytes);
  }
  for (const auto& [name, writer] : files) ASSERT_TRUE(writer.Write(folder / name).ok());
  if (with_index || files.size() > 1) {
    ASSERT_TRUE(WriteSafetensorsIndex(folder.path(), index, total).ok());
  }
}

// The tensors of a checkpoint with this config: fp8 with scales if the config says so, else bf16; the gate's
// bias is f32.
inline TestTensors TensorsOfModel(const model::ModelConfig& config) {
  TestTensors tensors;
  for (const model::TensorSpec& spec : model::TensorsOf(config)) {
    const bool fp8 = spec.quantized && config.quantization_config;
    const bool bias = spec.kind == model::TensorKind::kRouterBias;
    tensors[spec.name] = {.dtype = fp8    ? DType::kF8E4M3
                                   : bias ? DType::kF32
                                          : DType::kBF16,
                          .shape = spec.shape};
    if (fp8) {
      tensors[spec.scale_name()] = {.dtype = DType::kF32,
                                    .shape = {(spec.shape[0] + 127) / 128, (spec.shape[1] + 127) / 128}};
    }
  }
  return tensors;
}

}  // namespace deeprack::checkpoint
