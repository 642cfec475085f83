// What quantization_config says about integer weights with one scale for each 128 columns of a row (a group),
// or one scale for each row.
#pragma once

#include <optional>
#include <string>

#include "base/dtype.h"
#include "model/config/module_patterns.h"

namespace deeprack::model {

// How a weight [rows, cols] is stored in its file; G = ceil(cols / 128). A word is an int32 that holds eight
// 4-bit values, the first in the lowest bits unless stated otherwise.
// kAwq:           qweight words [cols, rows / 8], qzeros words [G, rows / 8], scales [G, rows]. A word holds
//                 the values of eight rows in the order 0 2 4 6 1 3 5 7.
// kGptq:          qweight words [cols / 8, rows], qzeros words [G, rows / 8], scales [G, rows],
//                 g_idx int32 [cols]: the group of each column.
// kPackQuantized: weight_packed words [rows, ceil(cols / 8)], weight_scale [rows, G], weight_shape int64 [2];
//                 unless symmetric, weight_zero_point words [ceil(rows / 8), G];
//                 with act_order, weight_g_idx.
// kIntQuantized:  weight int8 [rows, cols], weight_scale [rows, 1].
// Sources: AutoAWQ's awq/modules/linear/gemm.py and awq/utils/packing_utils.py, AutoGPTQ's
// nn_modules/qlinear/qlinear_cuda_old.py, compressed-tensors' compressors/pack_quantized, and the parameters
// that vLLM creates for each of them.
enum class GroupLayout : uint8_t { kAwq, kGptq, kPackQuantized, kIntQuantized };

struct GroupQuantization {
  GroupLayout layout = GroupLayout::kAwq;
  // True: any column may belong to any group (GPTQ's desc_act, compressed-tensors' actorder "group"). False:
  // column c belongs to group c / 128.
  bool act_order = false;
  bool zero_minus_one = false;         // zeros are stored minus 1 (checkpoint_format gptq; false for gptq_v2)
  bool symmetric = true;               // kPackQuantized: the file has no zero points, every zero is 8
  ModulePatterns skipped;              // modules_to_not_convert, ignore, dynamic's "-:"
  std::optional<ModulePatterns> only;  // modules_in_block_to_quantize

  DType type() const { return layout == GroupLayout::kIntQuantized ? DType::kInt8G128 : DType::kInt4G128; }
  // True when the linear module `module` of a layer is quantised.
  bool Quantizes(const std::string& module) const {
    return !skipped.Match(module) && (!only || only->Match(module));
  }
};

}  // namespace deeprack::model
