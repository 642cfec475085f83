// Latent attention with expanded keys and values, plain. The positions of a sequence are taken in spans. One
// launch expands a span into the scratch memory, with one block for each position and head. A second launch
// lets the sequence's rows attend to the span, with one block for each row and head. Sums are made in the
// order of the CPU kernels, so the bits are those of the CPU's generic table. Bytes: a span's keys and values
// once for each row.
#include "base/check.h"
#include "kernels/cuda/plain/latent_page.h"
#include "kernels/cuda/plain/device.h"
#include "kernels/cuda/plain/operations.h"
#include "kernels/cuda/plain/weight.h"

namespace deeprack::kernels::plain {
namespace {

constexpr int64_t kSpan = kExpandedSpan;

// A span of one sequence.
struct Span {
  int64_t sequence;
  int64_t begin, count;  // positions of the sequence
};

// blockIdx.x is the position in the span, blockIdx.y the head.
template <class W, class C, class X>
__global__ void ExpandKernel(ExpandedAttentionArgs args, Span span, X* expanded) {
  __shared__ float latent[kMaxKeyDim];
  const ExpandedShape& shape = args.shape;
  const int64_t head = blockIdx.y;
  const int64_t position = span.begin + blockIdx.x;
  const int64_t page = args.sequences[span.sequence].block_table[position / kPageTokens];
  const LatentPage<C> entries(args.cache, shape.latent_dim, shape.rope_dim, page);
  const int at = static_cast<int>(position % kPageTokens);
  for (int64_t i = threadIdx.x; i < shape.latent_dim; i += kAttentionThreads) latent[i] = entries(at, i);
  __syncthreads();
  const PackedWeight key = (args.device_key_weights != nullptr ? args.device_key_weights : args.key_weights)[head];
  const PackedWeight value = (args.device_value_weights != nullptr ? args.device_value_weights : args.value_weights)[head];
  const int64_t query_dim = shape.nope_dim + shape.rope_dim;
  const int64_t stride = query_dim + shape.value_dim;
  X* out = expanded + (blockIdx.x * shape.heads + head) * stride;
  for (int64_t d = threadIdx.x; d < stride; d += kAttentionThreads) {
    float sum = 0;
    if (d < shape.nope_dim) {
      for (int64_t l = 0; l < shape.latent_dim; ++l) sum = fmaf(WeightAt<W>(key, l, d), latent[l], sum);
    } else if (d < query_dim) {
      sum = entries(at, shape.latent_dim + d - shape.nope_dim);
    } else {
      for (int64_t l = 0; l < shape.latent_dim; ++l) sum = fmaf(WeightAt<W>(value, d - query_dim, l), latent[l], sum);
    }
    out[d] = FromFloat<X>(sum);
  }
}

// blockIdx.x is the row in the sequence's chunk, blockIdx.y the head.
template <class X, class O>
__global__ void AttendSpanKernel(ExpandedAttentionArgs args, Span span, const X* expanded, float* all_sums, float* all_stats) {
  __shared__ float query[kMaxKeyDim];
  const ExpandedShape& shape = args.shape;
  const AttentionSequence& sequence = args.sequences[span.sequence];
  // The number of positions from the span's begin on that the row attends to. It can exceed the span.
  const int64_t seen = sequence.first_position + blockIdx.x + 1 - span.begin;
  if (seen <= 0) return;
  const int64_t row = sequence.first_row + blockIdx.x;
  const int64_t head = blockIdx.y;
  const int64_t thread = threadIdx.x;
  const int64_t query_dim = shape.nope_dim + shape.rope_dim;
  const X* q = args.q.row<X>(row) + head * query_dim;
  for (int64_t i = thread; i < query_dim; i += kAttentionThreads) query[i] = ToFloat(q[i]);
  float* sums = all_sums + (row * shape.heads + head) * shape.value_dim;
  float* stats = all_stats + (row * shape.heads + head) * 2;
  Attended attended;
  if (span.begin > 0) {
    attended.maximum = stats[0];
    attended.weight = stats[1];
    for (int i = 0; thread + i * kAttentionThreads < shape.value_dim; ++i) attended.sums[i] = sums[thread + i * kAttentionThreads];
  }
  const int64_t stride = shape.heads * (query_dim + shape.value_dim);
  for (int64_t begin = 0; begin < span.count && begin < seen; begin += kPageTokens) {
    const X* keys = expanded + begin * stride + head * (query_dim + shape.value_dim);
    const int count = static_cast<int>(seen - begin < kPageTokens ? seen - begin : kPageTokens);
    AttendPage(query, query_dim, PageRows<X>{keys, stride}, shape.value_dim, PageRows<X>{keys + query_dim, stride}, count,
               args.scale, attended);
  }
  if (seen <= span.count) {
    return StoreAttended(attended, shape.value_dim, args.out.row<O>(row) + head * shape.value_dim);
  }
  __syncthreads();  // all threads have read the statistics
  if (thread == 0) {
    stats[0] = attended.maximum;
    stats[1] = attended.weight;
  }
  for (int i = 0; thread + i * kAttentionThreads < shape.value_dim; ++i) sums[thread + i * kAttentionThreads] = attended.sums[i];
}

// Calls f with values of the types of the weights, the cache, the queries and the results.
template <class F>
void Dispatch(const ExpandedAttentionArgs& args, F f) {
  DispatchActivation(args.key_weights[0].type, [&](auto w) {
    DispatchCache(args.cache_type, [&](auto c) {
      DispatchActivation(args.q.type, [&](auto x) { DispatchActivation(args.out.type, [&](auto o) { f(w, c, x, o); }); });
    });
  });
}

}  // namespace

void ExpandedAttention(const ExpandedAttentionArgs& args, const Execution& execution) {
  const ExpandedShape& shape = args.shape;
  DR_CHECK(shape.latent_dim <= kMaxKeyDim && shape.query_dim() <= kMaxKeyDim && shape.value_dim <= kMaxValueDim);
  DR_CHECK(args.q.type == shape.type && args.q.rows <= shape.rows);
  const ExpandedBuffers buffers = CutExpanded(shape, execution.scratch.data);
  DR_CHECK(buffers.bytes <= execution.scratch.data_bytes);
  for (int64_t s = 0; s < args.num_sequences; ++s) {
    const AttentionSequence& sequence = args.host_sequences[s];
    const int64_t end = int64_t{sequence.first_position} + sequence.rows;
    for (int64_t begin = 0; begin < end; begin += kSpan) {
      const Span span = {s, begin, end - begin < kSpan ? end - begin : kSpan};
      Dispatch(args, [&](auto w, auto c, auto x, auto o) {
        using X = decltype(x);
        X* const expanded = static_cast<X*>(buffers.expanded);
        DR_LAUNCH((ExpandKernel<decltype(w), decltype(c), X>), dim3(span.count, shape.heads), dim3(kAttentionThreads), execution,
                  args, span, expanded);
        DR_LAUNCH((AttendSpanKernel<X, decltype(o)>), dim3(sequence.rows, shape.heads), dim3(kAttentionThreads), execution, args,
                  span, expanded, buffers.sums, buffers.stats);
      });
    }
  }
}

}  // namespace deeprack::kernels::plain
