// (tensor, layout, rank) -> the slice of the tensor that the rank holds. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "model/layout/layout.h"
#include "model/tensors/tensor_registry.h"

namespace deeprack::model {

// Rows [row_begin, row_begin + rows) x columns [col_begin, col_begin + cols) of the whole tensor. A vector
// counts as one column. A slice may begin or end inside an fp8 block: element (r, c) of the slice has the
// scale of block ((row_begin + r) / 128, (col_begin + c) / 128).
struct Slice {
  int64_t row_begin = 0;
  int64_t rows = 0;
  int64_t col_begin = 0;
  int64_t cols = 0;
  bool operator==(const Slice&) const = default;
};

// The stride of vocabulary rows, ceil(vocab_size / tp): tp rank t holds rows [t * stride, min((t + 1) *
// stride, vocab_size)). The last ranks may hold fewer rows. ValidateLayout refuses a tp that leaves a rank
// without rows.
int64_t VocabRowsPerRank(const ModelConfig& config, const Layout& layout);

// The first key-value head of a tp rank, and one past its last. Either tp divides the heads, or tp is a
// multiple of the heads: then each rank holds one head, and tp / num_key_value_heads neighbouring ranks hold
// the same head.
std::pair<int64_t, int64_t> KeyValueHeadsOfRank(const ModelConfig& config, const Layout& layout,
                                                int32_t tp_rank);

// The first routed expert of an expert group, and one past its last.
std::pair<int64_t, int64_t> ExpertsOfGroup(const ModelConfig& config, const Layout& layout, int32_t group);

// The rank's slice of the tensor. `layout` must be valid. nullopt: the rank holds nothing of this tensor (a
// layer of another stage; an expert of another group; the embedding on another stage than the first; final
// norm and head on another stage than the last; MTP tensors on another stage than the last). With
// tie_word_embeddings the last stage also holds the embedding, as its head. Over all ranks every element is
// held, by exactly the ranks that the tensor's role says.
std::optional<Slice> SliceFor(const ModelConfig& config, const TensorSpec& tensor, const Layout& layout,
                              Rank rank);

}  // namespace deeprack::model
