// Device memory in the shapes that the Hopper kernels take, with random contents of moderate size, for
// benchmarks.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bench/gpu/device_memory.h"
#include "kernels/cuda/sm90/gemm.h"
#include "kernels/cuda/sm90/mla.h"
#include "kernels/cuda/sm90/quantise.h"

namespace deeprack::bench {

// Owns all memory that its functions return.
class Sm90Buffers {
 public:
  void* Bytes(int64_t bytes);
  kernels::Matrix Activations(int64_t rows, int64_t cols, DType type = DType::kBF16);
  // Memory of quantised rows; AsInput gives rows as the input of a product.
  kernels::sm90::QuantisedRows Quantised(int64_t rows, int64_t cols);
  static kernels::sm90::Rows AsInput(const kernels::sm90::QuantisedRows& quantised, int64_t rows);
  static kernels::sm90::Rows AsInput(const kernels::Matrix& matrix);
  // fp8 scales are near 0.01; the scales and zeros of int4 tiles are of moderate size.
  kernels::sm90::RowWeight Weight(DType type, int64_t groups, int64_t n, int64_t k,
                                  WeightLayout int4_layout = WeightLayout::kTiles);
  // A copy of `values` in device memory.
  template <class T>
  T* Copy(const std::vector<T>& values) {
    held_.push_back(OnDevice(values));
    return static_cast<T*>(held_.back().get());
  }
  // Allocates a product's workspaces and sets args.partials and args.arrivals.
  void GiveWorkspace(kernels::sm90::GemmArgs& args);

  // Pages of an fp8 cache. All scales are 0.25.
  void* Fp8Cache(int64_t pages);
  // Arguments of attention for a batch of sequences of `context` tokens, each with a chunk of `rows` query
  // rows at its end, over a cache of their own.
  kernels::sm90::MlaArgs Attention(int64_t heads, int64_t batch, int64_t rows, int64_t context,
                                   bool fp8 = false);

 private:
  std::vector<DeviceMemory> held_;
};

// The bytes of a weight that a product reads.
double WeightBytes(const kernels::sm90::RowWeight& weight);

}  // namespace deeprack::bench
