// Grouped-query attention over pages, plain. One block for each query row and head walks the pages in order
// with an online softmax. Bytes: every page of a key-value head once for each row and for each head of its
// group.
#include "base/check.h"
#include "kernels/cuda/plain/attention_page.h"
#include "kernels/cuda/plain/device.h"
#include "kernels/cuda/plain/operations.h"

namespace deeprack::kernels::plain {
namespace {

// blockIdx.x is the query row, blockIdx.y the head.
template <class Q, class C, class O>
__global__ void GqaAttentionKernel(GqaAttentionArgs args) {
  __shared__ float query[kMaxValueDim];
  const int64_t row = blockIdx.x;
  const int64_t head = blockIdx.y;
  const int64_t dim = args.head_dim;
  const int64_t kv_head = head / (args.heads / args.kv_heads);
  const int64_t stride = 2 * args.kv_heads * dim;
  const Q* q = args.q.row<Q>(row) + head * dim;
  for (int64_t i = threadIdx.x; i < dim; i += kAttentionThreads) query[i] = ToFloat(q[i]);
  const AttentionSequence& sequence = SequenceOf(args.sequences, args.num_sequences, row);
  const int64_t positions = sequence.first_position + (row - sequence.first_row) + 1;
  Attended attended;
  for (int64_t begin = 0; begin < positions; begin += kPageTokens) {
    const int64_t page = sequence.block_table[begin / kPageTokens];
    const C* keys = static_cast<const C*>(args.cache) + page * kPageTokens * stride + kv_head * dim;
    const int count = static_cast<int>(positions - begin < kPageTokens ? positions - begin : kPageTokens);
    AttendPage(query, dim, PageRows<C>{keys, stride}, dim, PageRows<C>{keys + args.kv_heads * dim, stride}, count, args.scale,
               attended);
  }
  StoreAttended(attended, dim, args.out.row<O>(row) + head * dim);
}

}  // namespace

void GqaAttention(const GqaAttentionArgs& args, const Execution& execution) {
  if (args.q.rows == 0 || args.heads == 0 || args.num_sequences == 0) return;
  DR_CHECK(args.kv_heads > 0 && args.heads % args.kv_heads == 0 && args.head_dim <= kMaxValueDim);
  DispatchActivation(args.q.type, [&](auto q) {
    DispatchActivation(args.cache_type, [&](auto cache) {
      DispatchActivation(args.out.type, [&](auto out) {
        DR_LAUNCH((GqaAttentionKernel<decltype(q), decltype(cache), decltype(out)>), dim3(args.q.rows, args.heads),
                  dim3(kAttentionThreads), execution, args);
      });
    });
  });
}

}  // namespace deeprack::kernels::plain
