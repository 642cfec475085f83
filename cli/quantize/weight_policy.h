// The type of each tensor of a quantised model.
//
// Nearly all bytes of a mixture-of-experts model are routed experts (R1: 654 of 671 billion weights), and a
// token uses few of them. Every token uses the other 2.5 %. So `--type` is the type of the experts, and the
// other weights get more bits, which adds little to the size:
//  - Attention, the shared expert and the leading dense layers: their errors reach every token.
//  - kv_a and kv_b get Q8_0: they make the latent that is cached and read by every later token.
//  - The head: its errors are errors of the logits. The embedding: a token reads one row, so more
//    bits cost no time.
// A dense model has no such small part, and the mixtures are llama.cpp's. Values and down projections get
// more bits than queries, keys, gate and up: the former are added to the residual stream as they are, the
// latter pass a softmax or a gate first. The layers at both ends get the most bits. In the types from Q3_K_M
// to Q2_K attention outputs get more bits, too. Down projections of experts follow the same rule.
//
// Norms, biases and routers are small, and their errors matter much: they are F32 in every type.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "cli/quantize/quant_type.h"
#include "model/config/model_config.h"
#include "model/tensors/tensor_registry.h"

namespace deeprack::cli {

// Of `spec` only kind and layer are used.
DType WeightType(const model::ModelConfig& config, const model::TensorSpec& spec, QuantType type);

// True when this weight is quantised in a folder of integers in groups of `type` (kInt4G128, kInt8G128).
// Linear weights are; with int4 only when their rows are whole groups; in a mixture of experts only the
// routed experts. All other weights are bf16, because readers of compressed-tensors expect one kind of
// integers in a model.
bool InFolderPolicy(const model::ModelConfig& config, const model::TensorSpec& spec, DType type);

// `type`, or the type that llama.cpp chooses instead when rows of `cols` elements are not whole blocks: for
// blocks of 256 elements the format of 32 elements with the next more bits, for blocks of 32 elements F16.
DType FitToRow(DType type, int64_t cols);

}  // namespace deeprack::cli
