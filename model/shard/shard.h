// (tensor, layout, rank) -> the part of it that the rank holds. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "model/layout/layout.h"
#include "model/tensors/tensor_registry.h"

namespace deeprack::model {

// Rows [row_begin, row_begin + rows) x columns [col_begin, col_begin + cols) of the whole tensor; a vector is
// one column. A slice may begin or end inside an fp8 block: element (r, c) of the slice has the scale of
// block
// ((row_begin + r) / 128, (col_begin + c) / 128).
struct Slice {
  int64_t row_begin = 0;
  int64_t rows = 0;
  int64_t col_begin = 0;
  int64_t cols = 0;
  bool operator==(const Slice&) const = default;
};

// Vocabulary rows: tp rank t holds [t * stride, min((t + 1) * stride, vocab_size)) with this stride, which is
// ceil(vocab_size / tp). So the last ranks may hold fewer; ValidateLayout refuses a tp that leaves one none.
int64_t VocabRowsPerRank(const ModelConfig& config, const Layout& layout);

// First key-value head of a tp rank and one past its last. tp divides the heads, or is a multiple of them:
// then each is held by tp / num_key_value_heads neighbouring ranks, one head a rank.
std::pair<int64_t, int64_t> KeyValueHeadsOfRank(const ModelConfig& config, const Layout& layout,
                                                int32_t tp_rank);

// First routed expert of an expert group and one past its last.
std::pair<int64_t, int64_t> ExpertsOfGroup(const ModelConfig& config, const Layout& layout, int32_t group);

// nullopt: the rank holds nothing of this tensor (another stage's layer, another group's expert, the
// embedding off the first stage, final norm and head off the last; MTP tensors belong to the last stage).
// With tie_word_embeddings the last stage holds the embedding too: it is the head. The layout must be valid.
// Over all ranks every element is covered: by exactly the ranks that its role says.
std::optional<Slice> SliceFor(const ModelConfig& config, const TensorSpec& tensor, const Layout& layout,
                              Rank rank);

}  // namespace deeprack::model
