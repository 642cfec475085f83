// Which tensor of a model gets which type: what stays wider than the rest, and why.
//
// Of a mixture-of-experts model nearly all bytes are routed experts (R1: 654 of 671 billion weights), of
// which a token meets a few; what is left, 2.5 %, every token passes. So `--type` speaks about the experts,
// and the rest is wider, for little of the size:
//  - Attention, the shared expert and the leading dense layers: an error there is in every token's way.
//  - kv_a and kv_b more so (Q8_0): they make the latent that is cached and read again by every later token.
//  - The head: its errors are errors of the logits at once. The embedding: one row a token, so wide costs no
//  time.
// In a dense model there is no such small rest, and the mixtures are llama.cpp's: values and down projections
// are wider than queries, keys, gate and up (the former are added into the residual stream as they are, the
// latter pass a softmax or a gate first), most of all in the layers at both ends; so are, in the types from
// Q3_K_M to Q2_K, attention outputs. Down projections of experts follow the same rule.
//
// Norms, biases and routers are vectors or nearly, too small to save on, and decide much: F32 in every type.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "cli/quantize/quant_type.h"
#include "model/config/model_config.h"
#include "model/tensors/tensor_registry.h"

namespace deeprack::cli {

// Only spec's kind and layer count.
DType WeightType(const model::ModelConfig& config, const model::TensorSpec& spec, QuantType type);

// Whether a folder of integers in groups of `type` (kInt4G128, kInt8G128) has this weight quantised: its
// linear weights, of int4 with rows of whole groups, and of a mixture of experts the routed experts alone.
// There is no wider type than bf16 to give the rest: compressed-tensors' readers expect one kind of integers
// a model.
bool InFolderPolicy(const model::ModelConfig& config, const model::TensorSpec& spec, DType type);

// `type`, or what rows of `cols` elements can have instead, as llama.cpp chooses: a block format whose blocks
// of 256 do not fill the row becomes the 32-element format of the next more bits, one that needs 32 F16.
DType FitToRow(DType type, int64_t cols);

}  // namespace deeprack::cli
