// The tensors that a weight of integers in groups is stored as.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/checkpoint_reader.h"
#include "model/config/group_quantization.h"

namespace deeprack::checkpoint {

struct GroupPart {
  std::string name;
  TensorView view;
};

// Types and shapes are those of model/config/group_quantization.h; scales are F16, BF16 or F32.
struct GroupParts {
  GroupPart values;
  GroupPart scales;
  std::optional<GroupPart> zeros;         // unless symmetric
  std::optional<GroupPart> column_group;  // g_idx
  std::optional<GroupPart> shape;         // weight_shape

  // Those that are there.
  std::vector<const GroupPart*> All() const;
};

// The parts of `weight` ("model.layers.0.mlp.up_proj.weight") of rows x cols, which must be positive. Only
// headers are read. NotFound: a part is missing. InvalidArgument: its type or shape, rows that the layout
// cannot pack, or the weight stored unquantised. Messages name tensor, file and what was expected.
absl::StatusOr<GroupParts> FindGroupParts(const CheckpointReader& reader,
                                          const model::GroupQuantization& quantization,
                                          const std::string& weight, int64_t rows, int64_t cols);

// A part of a quantised `weight` that is in the files; "" when none is. For messages about weights that
// should be unquantised.
std::string AnyGroupPart(const CheckpointReader& reader, const std::string& weight);

}  // namespace deeprack::checkpoint
