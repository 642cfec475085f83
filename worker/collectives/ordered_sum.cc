#include "worker/collectives/ordered_sum.h"

#include <algorithm>

#include "base/check.h"

namespace deeprack::worker {
namespace {

constexpr int64_t kBlock = 256;

// The number of iterations is known at compile time, so the compiler vectorises the loop.
template <class T>
void SumFullBlock(std::span<const void* const> in, int64_t begin, T* out) {
  float sum[kBlock];
  const T* first = static_cast<const T*>(in[0]) + begin;
  for (int64_t i = 0; i < kBlock; ++i) sum[i] = ToFloat(first[i]);
  for (size_t rank = 1; rank < in.size(); ++rank) {
    const T* next = static_cast<const T*>(in[rank]) + begin;
    for (int64_t i = 0; i < kBlock; ++i) sum[i] += ToFloat(next[i]);
  }
  for (int64_t i = 0; i < kBlock; ++i) out[begin + i] = FromFloat<T>(sum[i]);
}

template <class T>
void Sum(std::span<const void* const> in, int64_t count, T* out) {
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) SumFullBlock<T>(in, i, out);
  for (; i < count; ++i) {
    float sum = ToFloat(static_cast<const T*>(in[0])[i]);
    for (size_t rank = 1; rank < in.size(); ++rank) sum += ToFloat(static_cast<const T*>(in[rank])[i]);
    out[i] = FromFloat<T>(sum);
  }
}

}  // namespace

void OrderedSum(std::span<const void* const> in, int64_t count, DType type, void* out) {
  DR_CHECK(!in.empty());
  DR_CHECK(type == DType::kF32 || type == DType::kBF16);
  DispatchActivation(type, [&](auto element) { Sum(in, count, static_cast<decltype(element)*>(out)); });
}

Range ShareOf(int64_t count, int part, int parts) {
  const int64_t each = count / parts;
  const int64_t longer = count % parts;  // the first `longer` parts have one element more
  const int64_t begin = part * each + std::min<int64_t>(part, longer);
  return {begin, begin + each + (part < longer ? 1 : 0)};
}

}  // namespace deeprack::worker
