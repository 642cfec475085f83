#include "model/shard/shard.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked.h"

namespace deeprack::model {
namespace {

struct Range {
  int64_t begin = 0;
  int64_t count = 0;
};

// Part `index` of `size` divided into `parts` equal parts; ValidateLayout has checked that they are equal.
Range EqualPart(int64_t size, int64_t parts, int64_t index) {
  DR_CHECK(size % parts == 0);
  return {.begin = size / parts * index, .count = size / parts};
}

Range VocabPart(const ModelConfig& config, const Layout& layout, int64_t tp_rank) {
  const int64_t stride = VocabRowsPerRank(config, layout);
  const int64_t begin = stride * tp_rank;
  return {.begin = begin, .count = std::min(stride, config.vocab_size - begin)};
}

// True when the rank's pipeline stage holds the tensor.
bool StageHolds(const ModelConfig& config, const TensorSpec& tensor, const Layout& layout, int32_t pp_rank) {
  const bool first = pp_rank == 0;
  const bool last = pp_rank == layout.pp - 1;
  if (tensor.layer >= config.num_hidden_layers) return last;
  if (tensor.layer >= 0) {
    const auto [begin, end] = LayersOfStage(config, layout, pp_rank);
    return tensor.layer >= begin && tensor.layer < end;
  }
  if (tensor.kind == TensorKind::kEmbedTokens) return first || (last && config.tie_word_embeddings);
  return last;
}

}  // namespace

int64_t VocabRowsPerRank(const ModelConfig& config, const Layout& layout) {
  return CeilDiv(config.vocab_size, layout.tp);
}

std::pair<int64_t, int64_t> KeyValueHeadsOfRank(const ModelConfig& config, const Layout& layout,
                                                int32_t tp_rank) {
  const int64_t heads = config.num_key_value_heads;
  if (heads >= layout.tp) {
    const Range part = EqualPart(heads, layout.tp, tp_rank);
    return {part.begin, part.begin + part.count};
  }
  DR_CHECK(layout.tp % heads == 0);
  const int64_t head = tp_rank / (layout.tp / heads);
  return {head, head + 1};
}

std::pair<int64_t, int64_t> ExpertsOfGroup(const ModelConfig& config, const Layout& layout, int32_t group) {
  const Range experts = EqualPart(config.n_routed_experts, layout.ep, group);
  return {experts.begin, experts.begin + experts.count};
}

std::optional<Slice> SliceFor(const ModelConfig& config, const TensorSpec& tensor, const Layout& layout,
                              Rank rank) {
  const RankCoordinates at = CoordinatesOf(layout, rank);
  if (!StageHolds(config, tensor, layout, at.pp_rank)) return std::nullopt;
  if (tensor.expert >= 0) {
    const auto [begin, end] = ExpertsOfGroup(config, layout, at.expert_group);
    if (tensor.expert < begin || tensor.expert >= end) return std::nullopt;
  }

  const int64_t rows = tensor.shape[0];
  const int64_t cols = tensor.shape.size() > 1 ? tensor.shape[1] : 1;
  Range row_range = {.begin = 0, .count = rows};
  Range col_range = {.begin = 0, .count = cols};
  switch (tensor.role) {
    case ShardRole::kReplicated:
      break;
    case ShardRole::kVocabRows:
      row_range = VocabPart(config, layout, at.tp_rank);
      break;
    case ShardRole::kHeadRows:  // tp divides the heads, so each part begins at a head
    case ShardRole::kIntermediateRows:
      row_range = EqualPart(rows, layout.tp, at.tp_rank);
      break;
    case ShardRole::kKeyValueHeadRows: {
      const int64_t head_rows = rows / config.num_key_value_heads;
      const auto [begin, end] = KeyValueHeadsOfRank(config, layout, at.tp_rank);
      row_range = {.begin = begin * head_rows, .count = (end - begin) * head_rows};
      break;
    }
    case ShardRole::kHeadCols:
    case ShardRole::kIntermediateCols:
      col_range = EqualPart(cols, layout.tp, at.tp_rank);
      break;
    case ShardRole::kExpertRows:
      row_range = EqualPart(rows, layout.expert_tp(), at.expert_tp_rank);
      break;
    case ShardRole::kExpertCols:
      col_range = EqualPart(cols, layout.expert_tp(), at.expert_tp_rank);
      break;
  }
  return Slice{.row_begin = row_range.begin,
               .rows = row_range.count,
               .col_begin = col_range.begin,
               .cols = col_range.count};
}

}  // namespace deeprack::model
