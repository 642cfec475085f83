// Rotary embedding, cache writes and MLA attention over pages, plain. In the attention, one block for each
// query row and head walks the pages in order with an online softmax. The scores and sums of a row depend
// only on that row, so results do not depend on the batch. Bytes: every page once for each row and head (the
// Hopper kernel reads a page once for all heads).
#include "base/check.h"
#include "base/e4m3.h"
#include "base/fp8_kv_page.h"
#include "kernels/cuda/plain/attention_page.h"
#include "kernels/cuda/plain/latent_page.h"
#include "kernels/cuda/plain/device.h"
#include "kernels/cuda/plain/operations.h"

namespace deeprack::kernels::plain {
namespace {

constexpr int kThreads = 128;

template <class T>
__global__ void RopeKernel(RopeArgs args) {
  T* x = args.x.row<T>(blockIdx.x);
  const int64_t half = args.rope_dim / 2;
  const int64_t position = args.positions[blockIdx.x];
  for (int64_t i = threadIdx.x; i < args.heads * half; i += kThreads) {
    T* pair = x + i / half * args.head_stride + args.offset + i % half * 2;
    const float cos = args.cos[position * half + i % half];
    const float sin = args.sin[position * half + i % half];
    const float a = ToFloat(pair[0]);
    const float b = ToFloat(pair[1]);
    pair[0] = FromFloat<T>(a * cos - b * sin);
    pair[1] = FromFloat<T>(a * sin + b * cos);
  }
}

template <class L, class K, class C>
__global__ void KvWriteKernel(KvWriteArgs args) {
  const int64_t width = args.latent.cols + args.rope_key.cols;
  if (args.slots[blockIdx.x] < 0) return;
  C* entry = static_cast<C*>(args.cache) + args.slots[blockIdx.x] * width;
  const L* latent = args.latent.row<L>(blockIdx.x);
  const K* rope = args.rope_key.row<K>(blockIdx.x);
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    entry[i] = FromFloat<C>(i < args.latent.cols ? ToFloat(latent[i]) : ToFloat(rope[i - args.latent.cols]));
  }
}

template <class L, class K>
__global__ void Fp8KvWriteKernel(KvWriteArgs args) {
  __shared__ float of_threads[kThreads];
  const Fp8KvPage page = {args.latent.cols, args.rope_key.cols};
  const int64_t slot = args.slots[blockIdx.x];
  if (slot < 0) return;
  const L* latent = args.latent.row<L>(blockIdx.x);
  const K* rope = args.rope_key.row<K>(blockIdx.x);
  float largest = 0;  // a NaN is never the largest
  for (int64_t i = threadIdx.x; i < page.latent_dim; i += kThreads) {
    const float magnitude = fabsf(ToFloat(latent[i]));
    largest = magnitude > largest ? magnitude : largest;
  }
  of_threads[threadIdx.x] = largest;
  __syncthreads();
  for (int t = 0; t < kThreads; ++t) largest = of_threads[t] > largest ? of_threads[t] : largest;
  const int exponent = ScaleExponent(largest);
  const float shrink = PowerOfTwo(-exponent);
  auto* cache = static_cast<char*>(args.cache);
  auto* to_latent = reinterpret_cast<fp8_e4m3*>(cache + page.EntryAt(slot));
  auto* to_rope = reinterpret_cast<bf16*>(cache + page.EntryAt(slot) + page.rope_begin());
  for (int64_t i = threadIdx.x; i < page.latent_dim; i += kThreads) to_latent[i] = ToE4M3(ToFloat(latent[i]) * shrink);
  for (int64_t i = threadIdx.x; i < page.rope_dim; i += kThreads) to_rope[i] = ToBF16(ToFloat(rope[i]) * shrink);
  if (threadIdx.x == 0) *reinterpret_cast<float*>(cache + page.ScaleAt(slot)) = PowerOfTwo(exponent);
}

// blockIdx.x is the query row, blockIdx.y the head.
template <class Q, class C, class O>
__global__ void MlaAttentionKernel(MlaAttentionArgs args) {
  __shared__ float query[kMaxKeyDim];
  const int64_t row = blockIdx.x;
  const int64_t head = blockIdx.y;
  const int64_t width = args.latent_dim + args.rope_dim;
  const Q* q_latent = args.q_latent.row<Q>(row) + head * args.latent_dim;
  const Q* q_rope = args.q_rope.row<Q>(row) + head * args.q_rope_head_stride + args.q_rope_offset;
  for (int64_t i = threadIdx.x; i < width; i += kAttentionThreads) {
    query[i] = i < args.latent_dim ? ToFloat(q_latent[i]) : ToFloat(q_rope[i - args.latent_dim]);
  }
  const AttentionSequence& sequence = SequenceOf(args.sequences, args.num_sequences, row);
  const int64_t positions = sequence.first_position + (row - sequence.first_row) + 1;
  Attended attended;
  for (int64_t begin = 0; begin < positions; begin += kPageTokens) {
    const LatentPage<C> page(args.cache, args.latent_dim, args.rope_dim, sequence.block_table[begin / kPageTokens]);
    const int count = static_cast<int>(positions - begin < kPageTokens ? positions - begin : kPageTokens);
    AttendPage(query, width, page, args.latent_dim, page, count, args.scale, attended);
  }
  StoreAttended(attended, args.latent_dim, args.out.row<O>(row) + head * args.latent_dim);
}

}  // namespace

void Rope(const RopeArgs& args, const Execution& execution) {
  if (args.x.rows == 0) return;
  DispatchActivation(args.x.type, [&](auto x) {
    DR_LAUNCH((RopeKernel<decltype(x)>), dim3(args.x.rows), dim3(kThreads), execution, args);
  });
}

void KvWrite(const KvWriteArgs& args, const Execution& execution) {
  if (args.latent.rows == 0) return;
  DispatchActivation(args.latent.type, [&](auto latent) {
    DispatchActivation(args.rope_key.type, [&](auto rope) {
      if (args.cache_type == DType::kF8E4M3) {
        DR_LAUNCH((Fp8KvWriteKernel<decltype(latent), decltype(rope)>), dim3(args.latent.rows), dim3(kThreads), execution, args);
        return;
      }
      DispatchActivation(args.cache_type, [&](auto cache) {
        DR_LAUNCH((KvWriteKernel<decltype(latent), decltype(rope), decltype(cache)>), dim3(args.latent.rows),
                  dim3(kThreads), execution, args);
      });
    });
  });
}

void MlaAttention(const MlaAttentionArgs& args, const Execution& execution) {
  if (args.q_latent.rows == 0) return;
  DR_CHECK(args.latent_dim <= kMaxValueDim && args.latent_dim + args.rope_dim <= kMaxKeyDim);
  DispatchActivation(args.q_latent.type, [&](auto q) {
    DispatchCache(args.cache_type, [&](auto cache) {
      DispatchActivation(args.out.type, [&](auto out) {
        DR_LAUNCH((MlaAttentionKernel<decltype(q), decltype(cache), decltype(out)>), dim3(args.q_latent.rows, args.heads),
                  dim3(kAttentionThreads), execution, args);
      });
    });
  });
}

}  // namespace deeprack::kernels::plain
