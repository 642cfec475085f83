#include <numeric>
#include <vector>

#include "kernels/reference/fp8_entries.h"
#include "kernels/reference/reference.h"
#include "kernels/reference/softmax.h"

namespace deeprack::kernels::reference {
namespace {

// A head's kv_b, [nope_dim + value_dim, latent_dim]: the keys' part as the product takes it.
std::vector<double> WeightsOf(const ExpandedAttentionArgs& args, int64_t head) {
  const ExpandedShape& shape = args.shape;
  std::vector<double> weights;
  for (int64_t d = 0; d < shape.nope_dim; ++d) {
    for (int64_t l = 0; l < shape.latent_dim; ++l) weights.push_back(Get(args.key_weights[head], l, d));
  }
  for (int64_t d = 0; d < shape.value_dim; ++d) {
    for (int64_t l = 0; l < shape.latent_dim; ++l) weights.push_back(Get(args.value_weights[head], d, l));
  }
  return weights;
}

// [context, latent | rope] of one sequence.
std::vector<double> EntriesOf(const ExpandedAttentionArgs& args, const AttentionSequence& sequence) {
  const int64_t width = args.shape.latent_dim + args.shape.rope_dim;
  const Matrix matrix{const_cast<void*>(args.cache), args.cache_type, 0, width, width};
  const Fp8Entries fp8(const_cast<void*>(args.cache), args.shape.latent_dim, args.shape.rope_dim);
  std::vector<double> entries;
  for (int64_t p = 0; p < sequence.first_position + sequence.rows; ++p) {
    const int64_t slot = int64_t{sequence.block_table[p / kPageTokens]} * kPageTokens + p % kPageTokens;
    for (int64_t c = 0; c < width; ++c)
      entries.push_back(args.cache_type == DType::kF8E4M3 ? fp8.Get(slot, c) : Get(matrix, slot, c));
  }
  return entries;
}

// [context, nope | rope | value] of one head.
std::vector<double> Expand(const ExpandedAttentionArgs& args, const std::vector<double>& entries,
                           int64_t head) {
  const ExpandedShape& shape = args.shape;
  const std::vector<double> weights = WeightsOf(args, head);
  std::vector<double> expanded;
  const auto keep = [&](double value) {
    double rounded = 0;
    Matrix one{&rounded, args.q.type, 1, 1, 1};
    Set(one, 0, 0, value);
    expanded.push_back(Get(one, 0, 0));
  };
  const int64_t width = shape.latent_dim + shape.rope_dim;
  for (auto entry = entries.begin(); entry != entries.end(); entry += width) {
    auto weight = weights.begin();
    const auto product = [&] {
      const double sum = std::inner_product(entry, entry + shape.latent_dim, weight, 0.0);
      weight += shape.latent_dim;
      return sum;
    };
    for (int64_t d = 0; d < shape.nope_dim; ++d) keep(product());
    for (int64_t d = 0; d < shape.rope_dim; ++d) keep(entry[shape.latent_dim + d]);
    for (int64_t d = 0; d < shape.value_dim; ++d) keep(product());
  }
  return expanded;
}

}  // namespace

void ExpandedAttention(const ExpandedAttentionArgs& args, SoftmaxWeights kind) {
  const ExpandedShape& shape = args.shape;
  const int64_t key = shape.query_dim(), stride = key + shape.value_dim;
  for (int64_t s = 0; s < args.num_sequences; ++s) {
    const AttentionSequence& sequence = args.sequences[s];
    const std::vector<double> entries = EntriesOf(args, sequence);
    for (int64_t head = 0; head < shape.heads; ++head) {
      const std::vector<double> expanded = Expand(args, entries, head);
      for (int64_t i = 0; i < sequence.rows; ++i) {
        const int64_t row = sequence.first_row + i;
        std::vector<double> weights(sequence.first_position + i + 1);
        for (size_t p = 0; p < weights.size(); ++p) {
          for (int64_t c = 0; c < key; ++c)
            weights[p] += Get(args.q, row, head * key + c) * expanded[p * stride + c];
          weights[p] *= static_cast<double>(args.scale);
        }
        const double total = Softmax(kind, weights);
        for (int64_t c = 0; c < shape.value_dim; ++c) {
          double sum = 0;
          for (size_t p = 0; p < weights.size(); ++p) sum += weights[p] * expanded[p * stride + key + c];
          Set(args.out, row, head * shape.value_dim + c, sum / total);
        }
      }
    }
  }
}

}  // namespace deeprack::kernels::reference
