#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>

#include "base/check.h"
#include "kernels/cuda/sm90/isa/tensor_map.h"

namespace deeprack::kernels::sm90 {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

Encode FindEncode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                                             cudaEnableDefault, &result);
  if (error != cudaSuccess || result != cudaDriverEntryPointSuccess) {
    std::fprintf(stderr, "the driver has no cuTensorMapEncodeTiled (%s): it is older than CUDA 12\n",
                 cudaGetErrorString(error));
    std::abort();
  }
  return reinterpret_cast<Encode>(function);
}

CUtensorMapDataType TypeOf(DType type) {
  if (type == DType::kF32) return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  return type == DType::kBF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_UINT8;
}

}  // namespace

TensorMap EncodeTensorMap(const TensorMapSpec& spec) {
  static const Encode encode = FindEncode();
  if (const char* wrong = WhatIsWrong(spec)) {
    std::fprintf(stderr, "tensor map: %s\n", wrong);
    std::abort();
  }
  cuuint64_t sizes[3], strides[2];
  cuuint32_t box[3];
  const cuuint32_t steps[3] = {1, 1, 1};
  for (int i = 0; i < 3; ++i) sizes[i] = static_cast<cuuint64_t>(spec.sizes[i]);
  for (int i = 0; i < 3; ++i) box[i] = static_cast<cuuint32_t>(spec.box[i]);
  for (int i = 0; i < 2; ++i) strides[i] = static_cast<cuuint64_t>(spec.stride_bytes[i]);
  CUtensorMap map;
  const CUresult result = encode(&map, TypeOf(spec.type), 3, const_cast<void*>(spec.base), sizes, strides,
                                 box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                 spec.swizzle ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_NONE,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    std::fprintf(stderr, "tensor map: the driver refused it with error %d\n", static_cast<int>(result));
    std::abort();
  }
  TensorMap out;
  static_assert(sizeof(map) == sizeof(out.words));
  std::memcpy(out.words, &map, sizeof(map));
  return out;
}

}  // namespace deeprack::kernels::sm90
