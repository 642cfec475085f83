#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/reference/reference.h"

namespace deeprack::kernels::reference {
namespace {

// Indices of `values`, largest first, the lower index first among equals.
std::vector<int64_t> Descending(const std::vector<double>& values) {
  std::vector<int64_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return values[a] > values[b]; });
  return order;
}

}  // namespace

void Gate(const GateArgs& args) {
  const int64_t group_size = args.experts / args.n_group;
  for (int64_t t = 0; t < args.m; ++t) {
    if (args.row_count != nullptr && t >= *args.row_count) {
      std::fill_n(args.ids + t * args.top_k, args.top_k, -1);
      std::fill_n(args.weights + t * args.top_k, args.top_k, 0.0f);
      continue;
    }
    std::vector<double> scores(args.experts), biased(args.experts), group_values;
    for (int64_t e = 0; e < args.experts; ++e) {
      scores[e] = 1 / (1 + std::exp(-static_cast<double>(args.logits[t * args.experts + e])));
      biased[e] = scores[e] + (args.bias != nullptr ? static_cast<double>(args.bias[e]) : 0.0);
    }
    for (int64_t g = 0; g < args.n_group; ++g) {
      std::vector<double> group(biased.begin() + g * group_size, biased.begin() + (g + 1) * group_size);
      std::sort(group.rbegin(), group.rend());
      group_values.push_back(group_size > 1 ? group[0] + group[1] : group[0]);
    }
    const std::vector<int64_t> groups = Descending(group_values);
    const std::vector<int64_t> order = Descending(biased);
    int64_t chosen = 0;
    double sum = 0;
    for (int64_t e : order) {
      const auto kept_end = groups.begin() + args.topk_group;
      if (chosen == args.top_k || std::find(groups.begin(), kept_end, e / group_size) == kept_end) continue;
      args.ids[t * args.top_k + chosen++] = static_cast<int32_t>(e);
      sum += scores[e];
    }
    for (int64_t i = 0; i < args.top_k; ++i) {
      const double score = scores[args.ids[t * args.top_k + i]];
      const double share = args.norm_topk_prob ? score / (sum + 1e-20) : score;
      args.weights[t * args.top_k + i] =
          static_cast<float>(share * static_cast<double>(args.routed_scaling_factor));
    }
  }
}

void GroupByExpert(const GroupByExpertArgs& args) {
  int32_t row = 0;
  std::fill_n(args.pair_to_row, args.m * args.top_k, -1);
  for (int64_t e = 0; e < args.experts; ++e) {
    args.offsets[e] = row;
    for (int64_t pair = 0; pair < args.m * args.top_k; ++pair) {
      if (args.ids[pair] != args.expert_begin + e) continue;
      args.row_index[row] = static_cast<int32_t>(pair / args.top_k);
      args.pair_to_row[pair] = row++;
    }
  }
  args.offsets[args.experts] = row;
}

void Combine(const CombineArgs& args) {
  for (int64_t t = 0; t < args.out.rows; ++t) {
    for (int64_t c = 0; c < args.out.cols; ++c) {
      double sum = args.add.data != nullptr ? Get(args.add, t, c) : 0.0;
      for (int64_t choice = 0; choice < args.top_k; ++choice) {
        const int32_t row = args.pair_to_row[t * args.top_k + choice];
        if (row >= 0) sum += static_cast<double>(args.weights[t * args.top_k + choice]) * Get(args.y, row, c);
      }
      Set(args.out, t, c, sum);
    }
  }
}

void PlanDispatch(const PlanDispatchArgs& args) {
  std::fill_n(args.index, args.m * args.fanout, -1);
  std::vector<int64_t> reached(args.m, 0);
  int32_t place = 0;
  for (int64_t rank = 0; rank < args.ranks; ++rank) {
    if (args.slots > 0) place = static_cast<int32_t>(rank * args.slots);
    args.rows_to[rank] = 0;
    for (int64_t t = 0; t < args.m; ++t) {
      const int32_t* ids = args.ids + t * args.top_k;
      const bool goes = std::any_of(ids, ids + args.top_k, [&](int32_t id) {
        return id >= 0 && id / args.group_experts == rank / args.group_ranks;
      });
      if (!goes) continue;
      args.index[t * args.fanout + reached[t]++] = place++;
      ++args.rows_to[rank];
    }
  }
}

}  // namespace deeprack::kernels::reference
