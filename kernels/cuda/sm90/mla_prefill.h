// Latent attention of long chunks on Hopper, with the latent expanded to keys and values of full heads: 192 +
// 128 multiply-adds for each query, key and head, where the absorbed form takes 576 + 512.
//
// The context is walked in spans, so that the expanded keys of any context fit a workspace of one span. For
// each span in order: MlaGather copies the span's entries out of the pages, one product with kv_b expands
// them, and MlaPrefill attends to them and folds the result into the result of the spans before. Attention is
// causal: a query sees keys up to its own position.
//
// Scores and values are bf16 products with fp32 sums. The softmax is online in fp32 over tiles of 128 keys. P
// is rounded to bf16. Error against fp64 of the bf16 inputs: 8e-3 of the row's root mean square. Spans begin
// at fixed multiples of 128 positions, so a key's position alone decides its tile, and a query's result does
// not depend on the cut of its prompt into chunks, on the batch, or on other queries. The absorbed form gives
// other bits, so a position must always take the same form.
//
// Operations: 640 for each query, key and head, and 262 thousand a head for each expanded key, once a span
// and chunk. At 128 heads and bf16's 989 TFLOPS that is 83 ps for each query and key and 34 ns a key. The
// absorbed form takes 282 ps for each query and key, so expanding pays from about 170 queries of a sequence
// on. Bytes: a block of 128 queries of one head reads 640 bytes of each key, 128 operations a byte. Blocks of
// the same head that run together read from the L2: 5.2 TB/s at 660 TFLOPS.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/api/execution.h"
#include "kernels/api/matrix.h"
#include "kernels/cuda/sm90/mla.h"

namespace deeprack::kernels::sm90 {

inline constexpr int kHeadKey = 128;  // values of a head's key without the rope
inline constexpr int kHeadValue = 128;
inline constexpr int kHeadQuery = kHeadKey + kRope;
inline constexpr int kPrefillTile = 128;  // queries of a block, keys of a step

// Makes kv_b, for the product that expands a span, from the matrices of the absorbed form: for each head 128
// rows of W_uk, then 128 rows of W_uv, as in the checkpoint.
struct MlaKvBArgs {
  const void* key = nullptr;    // bf16 [heads][512][128]: W_uk transposed; heads are key_stride values apart
  const void* value = nullptr;  // bf16 [heads][128][512]: W_uv
  int64_t key_stride = 0, value_stride = 0;
  int64_t heads = 0;
  bf16* kv_b = nullptr;  // [heads * 256, 512]
};
void MlaKvB(const MlaKvBArgs& args, const Execution& execution);

// Copies cache entries to rows of the workspace: row r is position r of the pages in block_table; rows from
// `tokens` on are zeros.
struct MlaGatherArgs {
  const void* cache = nullptr;           // bf16 [tokens, 576], or the pages of an fp8 cache (mla.h)
  bool fp8 = false;                      // values are exact in bf16 for scales from 2^-32 to 2^32
  const BlockId* block_table = nullptr;  // pages of the span
  int64_t tokens = 0;
  Matrix latent;  // bf16 [n, 512]; 16-byte aligned, stride a multiple of 8
  Matrix rope;    // bf16 [n, 64]; aligned as latent
};
void MlaGather(const MlaGatherArgs& args, const Execution& execution);

// Rows [first_row, first_row + rows) of q, at positions from first_position on, and the keys of positions
// [kv_begin, kv_begin + kv_tokens) in rows of kv from kv_row on. kv_begin is a multiple of 128. Rows of zeros
// follow the last key, up to a multiple of 128 rows. A span that no query sees may have no keys.
struct MlaPrefillSequence {
  int32_t first_row, rows, first_position;
  int32_t kv_row, kv_begin, kv_tokens;
};

// The work of one block for each head: a tile of queries and the tiles of keys that the tile's last query
// sees.
struct MlaPrefillItem {
  int32_t row, rows, position;
  int32_t kv_row, kv_begin, kv_tiles;
};
// Items are ordered by length, longest first.
std::vector<MlaPrefillItem> PlanMlaPrefill(const MlaPrefillSequence* sequences, int64_t num_sequences);

struct MlaPrefillArgs {
  Matrix q;   // bf16 [m, heads * 192], rotated; 16-byte aligned, as are kv and rope; strides: multiples of 8
  Matrix kv;  // bf16 [n, heads * 256]: of each head 128 values of the key, then 128 of the value
  Matrix rope;  // bf16 [n, 64], shared by the heads
  int64_t heads = 0;
  float scale = 1.0f;
  const MlaPrefillItem* items = nullptr;  // on the device
  int64_t num_items = 0;
  bool first = true, last = true;  // true: this is the first span, the last span
  float* sums = nullptr;           // [m, heads, 128]: sums of values, kept between spans
  float* stats = nullptr;          // [m, heads, 2]: largest score, sum of weights
  Matrix out;                      // kBF16 or kF32 [m, heads * 128], even strides; written with the last span
};
void MlaPrefill(const MlaPrefillArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
