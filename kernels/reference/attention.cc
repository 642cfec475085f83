#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/reference/fp8_entries.h"
#include "kernels/reference/reference.h"
#include "kernels/reference/softmax.h"

namespace deeprack::kernels::reference {

double Softmax(SoftmaxWeights kind, std::vector<double>& scores) {
  double total = 0;
  if (kind == SoftmaxWeights::kExact) {
    const double largest = *std::max_element(scores.begin(), scores.end());
    for (double& score : scores) total += score = std::exp(score - largest);
    return total;
  }
  double largest = -std::numeric_limits<double>::infinity();
  for (auto page = scores.begin(); page != scores.end();) {
    const auto end = page + std::min<ptrdiff_t>(kPageTokens, scores.end() - page);
    const double before = largest;
    largest = std::max(largest, *std::max_element(page, end));
    for (auto earlier = scores.begin(); earlier != page; ++earlier) *earlier *= std::exp(before - largest);
    for (; page != end; ++page) {
      const auto weight = static_cast<float>(std::exp(*page - largest));
      *page = static_cast<double>(ToFloat(ToBF16(weight)));
    }
  }
  for (const double weight : scores) total += weight;
  return total;
}

void Rope(const RopeArgs& args) {
  const int64_t half = args.rope_dim / 2;
  for (int64_t r = 0; r < args.x.rows; ++r) {
    for (int64_t h = 0; h < args.heads; ++h) {
      for (int64_t i = 0; i < half; ++i) {
        const int64_t col = h * args.head_stride + args.offset + 2 * i;
        const double cos = static_cast<double>(args.cos[args.positions[r] * half + i]);
        const double sin = static_cast<double>(args.sin[args.positions[r] * half + i]);
        const double a = Get(args.x, r, col), b = Get(args.x, r, col + 1);
        Set(args.x, r, col, a * cos - b * sin);
        Set(args.x, r, col + 1, a * sin + b * cos);
      }
    }
  }
}

void KvWrite(const KvWriteArgs& args) {
  const int64_t latent = args.latent.cols, dim = latent + args.rope_key.cols;
  const Matrix cache{args.cache, args.cache_type, 0, dim, dim};
  for (int64_t r = 0; r < args.latent.rows; ++r) {
    if (args.slots[r] < 0) continue;
    if (args.cache_type == DType::kF8E4M3) {
      Fp8Entries(args.cache, latent, args.rope_key.cols).Write(args.slots[r], args, r);
      continue;
    }
    for (int64_t c = 0; c < dim; ++c) {
      Set(cache, args.slots[r], c, c < latent ? Get(args.latent, r, c) : Get(args.rope_key, r, c - latent));
    }
  }
}

void MlaAttention(const MlaAttentionArgs& args, SoftmaxWeights kind) {
  const int64_t latent = args.latent_dim, dim = latent + args.rope_dim;
  const Matrix cache{const_cast<void*>(args.cache), args.cache_type, 0, dim, dim};
  const Fp8Entries fp8(const_cast<void*>(args.cache), latent, args.rope_dim);
  const auto entry = [&](int64_t slot, int64_t c) {
    return args.cache_type == DType::kF8E4M3 ? fp8.Get(slot, c) : Get(cache, slot, c);
  };
  for (int64_t s = 0; s < args.num_sequences; ++s) {
    const AttentionSequence& sequence = args.sequences[s];
    for (int64_t i = 0; i < sequence.rows; ++i) {
      const int64_t row = sequence.first_row + i;
      const int64_t visible = sequence.first_position + i + 1;
      const auto slot = [&](int64_t position) {
        return int64_t{sequence.block_table[position / kPageTokens]} * kPageTokens + position % kPageTokens;
      };
      for (int64_t h = 0; h < args.heads; ++h) {
        std::vector<double> weights(visible);
        for (int64_t p = 0; p < visible; ++p) {
          double score = 0;
          for (int64_t c = 0; c < latent; ++c)
            score += Get(args.q_latent, row, h * latent + c) * entry(slot(p), c);
          for (int64_t c = 0; c < args.rope_dim; ++c) {
            score += Get(args.q_rope, row, h * args.q_rope_head_stride + args.q_rope_offset + c) *
                     entry(slot(p), latent + c);
          }
          weights[p] = score * static_cast<double>(args.scale);
        }
        const double total = Softmax(kind, weights);
        for (int64_t c = 0; c < latent; ++c) {
          double sum = 0;
          for (int64_t p = 0; p < visible; ++p) sum += weights[p] * entry(slot(p), c);
          Set(args.out, row, h * latent + c, sum / total);
        }
      }
    }
  }
}

void GqaAttention(const GqaAttentionArgs& args, SoftmaxWeights kind) {
  const int64_t dim = args.head_dim, entry = 2 * args.kv_heads * dim;
  const Matrix cache{const_cast<void*>(args.cache), args.cache_type, 0, entry, entry};
  for (int64_t s = 0; s < args.num_sequences; ++s) {
    const AttentionSequence& sequence = args.sequences[s];
    const auto slot = [&](int64_t position) {
      return int64_t{sequence.block_table[position / kPageTokens]} * kPageTokens + position % kPageTokens;
    };
    for (int64_t i = 0; i < sequence.rows; ++i) {
      const int64_t row = sequence.first_row + i;
      for (int64_t h = 0; h < args.heads; ++h) {
        const int64_t key = h * args.kv_heads / args.heads * dim, value = args.kv_heads * dim + key;
        std::vector<double> weights(sequence.first_position + i + 1);
        for (size_t p = 0; p < weights.size(); ++p) {
          for (int64_t c = 0; c < dim; ++c)
            weights[p] += Get(args.q, row, h * dim + c) * Get(cache, slot(p), key + c);
          weights[p] *= static_cast<double>(args.scale);
        }
        const double total = Softmax(kind, weights);
        for (int64_t c = 0; c < dim; ++c) {
          double sum = 0;
          for (size_t p = 0; p < weights.size(); ++p) sum += weights[p] * Get(cache, slot(p), value + c);
          Set(args.out, row, h * dim + c, sum / total);
        }
      }
    }
  }
}

}  // namespace deeprack::kernels::reference
