// The tensors that a weight of integers in groups is stored as (its parts).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/checkpoint_reader.h"
#include "model/config/group_quantization.h"

namespace deeprack::checkpoint {

inline constexpr int64_t kGroup = 128;     // weights that have one scale
inline constexpr int64_t kWordValues = 8;  // 4-bit values of an int32 word

struct GroupPart {
  std::string name;
  TensorView view;
};

// model/config/group_quantization.h has the types and shapes. Scales are F16, BF16 or F32.
struct GroupParts {
  GroupPart values;
  GroupPart scales;
  std::optional<GroupPart> zeros;         // absent if symmetric
  std::optional<GroupPart> column_group;  // g_idx
  std::optional<GroupPart> shape;         // weight_shape

  // The parts that are present.
  std::vector<const GroupPart*> All() const;
};

// Finds the parts of `weight` ("model.layers.0.mlp.up_proj.weight") of shape [rows, cols]; both must be
// positive. Reads only headers. NotFound: a part is missing. InvalidArgument: a part has a wrong type or
// shape, the layout cannot pack `rows`, or the weight is stored unquantised. Messages have the tensor, the
// file and what was expected.
absl::StatusOr<GroupParts> FindGroupParts(const CheckpointReader& reader,
                                          const model::GroupQuantization& quantization,
                                          const std::string& weight, int64_t rows, int64_t cols);

// The name of a part of `weight` that is in the files; "" if there is none. For the message about a weight
// that should not be quantised but is.
std::string AnyGroupPart(const CheckpointReader& reader, const std::string& weight);

}  // namespace deeprack::checkpoint
