// Latent attention of long chunks on Hopper, with the latent expanded to keys and values of full heads: 192 +
// 128 multiply-adds for each query, key and head in place of the absorbed form's 576 + 512.
//
// The context is walked in spans, so that the expanded keys of any context fit a workspace of one span. For
// each span in order: MlaGather brings its entries out of the pages, one product with kv_b expands them,
// MlaPrefill attends to them and folds the result into what the spans before gave. Causal: query row r of a
// sequence sees keys up to its own position.
//
// Scores and values are bf16 products with fp32 sums, the softmax is online in fp32 over tiles of 128 keys, P
// is rounded to bf16: error against fp64 of the bf16 inputs 8e-3 of the row's root mean square. Where spans
// and therefore tiles begin is a matter of the key's position alone (spans at fixed multiples of 128), so a
// query's result does not depend on how its prompt was cut into chunks, on the batch, or on other queries.
// It is not bitwise the absorbed form's: a position must always take the same of the two.
//
// Operations: 640 for each query, key and head, and 262 thousand a head for each key that is expanded, once a
// span and chunk. At 128 heads and bf16's 989 TFLOPS that is 83 ps for each query and key and 34 ns a key,
// against the absorbed form's 282 ps: expanding pays from about 170 queries of a sequence on. Bytes: a block
// of 128 queries of one head reads 640 bytes of each key, 128 operations a byte, from the L2 where blocks of
// the same head run together: 5.2 TB/s at 660 TFLOPS.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/api/execution.h"
#include "kernels/api/matrix.h"
#include "kernels/cuda/sm90/mla.h"

namespace deeprack::kernels::sm90 {

inline constexpr int kHeadKey = 128;  // of a head's key without the rope's part
inline constexpr int kHeadValue = 128;
inline constexpr int kHeadQuery = kHeadKey + kRope;
inline constexpr int kPrefillTile = 128;  // queries of a block, keys of a step

// kv_b out of the matrices that absorption has, for the product that expands a span: of each head 128 rows of
// W_uk, then 128 of W_uv, as the checkpoint has them.
struct MlaKvBArgs {
  const void* key = nullptr;  // bf16 [heads][512][128]: W_uk transposed; from head to head key_stride values
  const void* value = nullptr;  // bf16 [heads][128][512]: W_uv
  int64_t key_stride = 0, value_stride = 0;
  int64_t heads = 0;
  bf16* kv_b = nullptr;  // [heads * 256, 512]
};
void MlaKvB(const MlaKvBArgs& args, const Execution& execution);

// Rows of the workspace out of the cache: row r is position r of the pages in block_table, or zeros from
// `tokens` on.
struct MlaGatherArgs {
  const void* cache = nullptr;  // bf16 [tokens, 576], or the pages of an fp8 cache (mla.h)
  bool fp8 = false;             // its values are exact in bf16 where scales are within 2^-32 and 2^32
  const BlockId* block_table = nullptr;  // of the span's pages
  int64_t tokens = 0;
  Matrix latent;  // bf16 [n, 512]; 16-byte aligned, stride a multiple of 8
  Matrix rope;    // bf16 [n, 64]; the same
};
void MlaGather(const MlaGatherArgs& args, const Execution& execution);

// Rows [first_row, + rows) of q, at positions from first_position on, against keys of positions [kv_begin,
// kv_begin + kv_tokens), of which the first is row kv_row of kv. Behind the last are rows of zeros up to a
// multiple of 128 of them. kv_begin: multiple of 128. A span of which no query sees anything may have no
// keys.
struct MlaPrefillSequence {
  int32_t first_row, rows, first_position;
  int32_t kv_row, kv_begin, kv_tokens;
};

// One block's work, for each head: a tile of queries against as many tiles of keys as the last of them sees.
struct MlaPrefillItem {
  int32_t row, rows, position;
  int32_t kv_row, kv_begin, kv_tiles;
};
// Longest first.
std::vector<MlaPrefillItem> PlanMlaPrefill(const MlaPrefillSequence* sequences, int64_t num_sequences);

struct MlaPrefillArgs {
  Matrix q;   // bf16 [m, heads * 192], rotated; 16-byte aligned, as are kv and rope; strides: multiples of 8
  Matrix kv;  // bf16 [n, heads * 256]: of each head 128 values of the key, then 128 of the value
  Matrix rope;  // bf16 [n, 64], shared by the heads
  int64_t heads = 0;
  float scale = 1.0f;
  const MlaPrefillItem* items = nullptr;  // on the device
  int64_t num_items = 0;
  bool first = true, last = true;  // of the spans
  float* sums = nullptr;           // [m, heads, 128], between spans
  float* stats = nullptr;          // [m, heads, 2]: largest score, sum of weights
  Matrix out;                      // kBF16 or kF32 [m, heads * 128], even strides; written with the last span
};
void MlaPrefill(const MlaPrefillArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
