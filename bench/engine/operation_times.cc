#include "bench/engine/operation_times.h"

#include <chrono>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fp8_kv_page.h"

namespace deeprack::bench {
namespace {

using kernels::Execution;
using kernels::KernelSet;
using kernels::PackedWeight;

// The state of the wrapped operations, which are plain functions.
struct State {
  const KernelSet* inner = nullptr;
  OperationTimes* times = nullptr;
  KernelSet timed;
  std::function<void()> wait;
};
State state;

struct Work {
  std::string name;
  double weight_bytes = 0, cache_bytes = 0, flops = 0;
};

double BytesOf(const PackedWeight& weight) {
  return static_cast<double>(PackedValueBytes(weight.type, weight.n, weight.k) +
                             PackedScaleBytes(weight.type, weight.n, weight.k, weight.k_block_offset));
}

double FlopsOf(const PackedWeight& weight, int64_t rows) {
  return 2.0 * static_cast<double>(rows) * static_cast<double>(weight.n) * static_cast<double>(weight.k);
}

std::string ShapeOf(const PackedWeight& weight) {
  return absl::StrCat(" ", weight.n, "x", weight.k, " ", std::string(Name(weight.type)));
}

template <class Args>
std::string NameOf(const char* name, const Args&) {
  return name;
}
std::string NameOf(const char* name, const kernels::LinearArgs& args) { return name + ShapeOf(args.weight); }
std::string NameOf(const char* name, const kernels::HeadLinearArgs& args) {
  return name + ShapeOf(args.weights[0]);
}
std::string NameOf(const char* name, const kernels::GroupedLinearArgs& args) {
  return name + ShapeOf(args.weights[0]);
}
std::string NameOf(const char* name, const kernels::FeedForwardArgs& args) {
  return NameOf(name, args.gate_up);
}
std::string NameOf(const char* name, const kernels::GroupedFeedForwardArgs& args) {
  return NameOf(name, args.gate_up);
}

template <class Args>
Work WorkOf(const char* name, const Args& args) {
  return {.name = NameOf(name, args)};
}

Work WorkOf(const char* name, const kernels::LinearArgs& args) {
  return {.name = NameOf(name, args),
          .weight_bytes = BytesOf(args.weight),
          .flops = FlopsOf(args.weight, args.x.rows)};
}

Work WorkOf(const char* name, const kernels::HeadLinearArgs& args) {
  const double heads = static_cast<double>(args.heads);
  return {.name = NameOf(name, args),
          .weight_bytes = heads * BytesOf(args.weights[0]),
          .flops = heads * FlopsOf(args.weights[0], args.x.rows)};
}

Work WorkOf(const char* name, const kernels::GroupedLinearArgs& args) {
  Work work = {.name = NameOf(name, args), .flops = FlopsOf(args.weights[0], args.offsets[args.experts])};
  for (int64_t e = 0; e < args.experts; ++e) {
    if (args.offsets[e + 1] > args.offsets[e]) work.weight_bytes += BytesOf(args.weights[e]);
  }
  return work;
}

// Positions that a chunk's queries read, and positions in its cache.
Work AttentionWork(const char* name, const kernels::AttentionSequence* sequences, int64_t count,
                   double entry_bytes, double flops_per_position) {
  Work work = {.name = name};
  for (int64_t i = 0; i < count; ++i) {
    const double rows = sequences[i].rows, first = sequences[i].first_position;
    work.cache_bytes += (first + rows) * entry_bytes;
    work.flops += (rows * first + rows * (rows + 1) / 2) * flops_per_position;
  }
  return work;
}

// Bytes of a token's entry in a cache of latents.
double EntryBytes(int64_t latent_dim, int64_t rope_dim, DType cache_type) {
  if (cache_type == DType::kF8E4M3)
    return static_cast<double>(Fp8KvPage{latent_dim, rope_dim}.bytes()) / kPageTokens;
  return static_cast<double>((latent_dim + rope_dim) * static_cast<int64_t>(SizeOf(cache_type)));
}

Work WorkOf(const char* name, const kernels::MlaAttentionArgs& args) {
  const double entry = static_cast<double>(args.latent_dim + args.rope_dim);
  const double entry_bytes = EntryBytes(args.latent_dim, args.rope_dim, args.cache_type);
  const double flops = 2.0 * static_cast<double>(args.heads) * (entry + static_cast<double>(args.latent_dim));
  return AttentionWork(name, args.sequences, args.num_sequences, entry_bytes, flops);
}

Work WorkOf(const char* name, const kernels::ExpandedAttentionArgs& args) {
  const kernels::ExpandedShape& shape = args.shape;
  const double heads = static_cast<double>(shape.heads);
  const double entry_bytes = EntryBytes(shape.latent_dim, shape.rope_dim, args.cache_type);
  Work work = AttentionWork(name, args.host_sequences, args.num_sequences, entry_bytes,
                            2.0 * heads * static_cast<double>(shape.query_dim() + shape.value_dim));
  work.weight_bytes = heads * (BytesOf(args.key_weights[0]) + BytesOf(args.value_weights[0]));
  for (int64_t i = 0; i < args.num_sequences; ++i) {
    const kernels::AttentionSequence& sequence = args.host_sequences[i];
    const int64_t positions = sequence.first_position + sequence.rows;
    work.flops +=
        heads * (FlopsOf(args.key_weights[0], positions) + FlopsOf(args.value_weights[0], positions));
  }
  return work;
}

Work WorkOf(const char* name, const kernels::GqaAttentionArgs& args) {
  const double entry = 2.0 * static_cast<double>(args.kv_heads * args.head_dim);
  const double flops = 4.0 * static_cast<double>(args.heads * args.head_dim);
  return AttentionWork(name, args.sequences, args.num_sequences,
                       entry * static_cast<double>(SizeOf(args.cache_type)), flops);
}

// Times one call from construction to destruction.
class Call {
 public:
  explicit Call(const Work& work) : time_((*state.times)[work.name]) {
    time_.calls += 1;
    time_.weight_bytes += work.weight_bytes;
    time_.cache_bytes += work.cache_bytes;
    time_.flops += work.flops;
    if (state.wait) state.wait();  // for work that was queued before the operation
    start_ = std::chrono::steady_clock::now();
  }
  ~Call() {
    if (state.wait) state.wait();
    time_.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  OperationTime& time_;
  std::chrono::steady_clock::time_point start_;
};

template <auto kOperation>
struct Timed;
template <class Result, class Args, Result (*KernelSet::*kOperation)(const Args&, const Execution&)>
struct Timed<kOperation> {
  static inline const char* name = nullptr;
  static Result Run(const Args& args, const Execution& execution) {
    // The host cannot read a card's offsets and sequences.
    const Call call(state.wait ? Work{.name = NameOf(name, args)} : WorkOf(name, args));
    return (state.inner->*kOperation)(args, execution);
  }
};

template <auto kOperation>
void Wrap(const char* name) {
  Timed<kOperation>::name = name;
  if (state.inner->*kOperation != nullptr) state.timed.*kOperation = Timed<kOperation>::Run;
}

}  // namespace

const KernelSet& TimedKernels(const KernelSet& inner, OperationTimes* times, std::function<void()> wait) {
  state = {.inner = &inner, .times = times, .timed = inner, .wait = std::move(wait)};
  Wrap<&KernelSet::embedding>("embedding");
  Wrap<&KernelSet::rms_norm>("rms_norm");
  Wrap<&KernelSet::add_rms_norm>("add_rms_norm");
  Wrap<&KernelSet::add>("add");
  Wrap<&KernelSet::linear>("linear");
  Wrap<&KernelSet::head_linear>("head_linear");
  Wrap<&KernelSet::grouped_linear>("grouped_linear");
  Wrap<&KernelSet::swiglu>("swiglu");
  Wrap<&KernelSet::feed_forward>("feed_forward");
  Wrap<&KernelSet::grouped_feed_forward>("grouped_feed_forward");
  Wrap<&KernelSet::rope>("rope");
  Wrap<&KernelSet::kv_write>("kv_write");
  Wrap<&KernelSet::mla_prepare>("mla_prepare");
  Wrap<&KernelSet::mla_attention>("mla_attention");
  Wrap<&KernelSet::expanded_attention>("expanded_attention");
  Wrap<&KernelSet::gqa_attention>("gqa_attention");
  Wrap<&KernelSet::gate>("gate");
  Wrap<&KernelSet::group_by_expert>("group_by_expert");
  Wrap<&KernelSet::combine>("combine");
  Wrap<&KernelSet::copy_rows>("copy_rows");
  Wrap<&KernelSet::plan_dispatch>("plan_dispatch");
  Wrap<&KernelSet::pack_dispatch>("pack_dispatch");
  Wrap<&KernelSet::unpack_dispatch>("unpack_dispatch");
  Wrap<&KernelSet::peer_sum>("peer_sum");
  Wrap<&KernelSet::peer_add_rms_norm>("peer_add_rms_norm");
  Wrap<&KernelSet::peer_exchange>("peer_exchange");
  Wrap<&KernelSet::find_non_finite>("find_non_finite");
  Wrap<&KernelSet::adjust_logits>("adjust_logits");
  Wrap<&KernelSet::mask_logits>("mask_logits");
  Wrap<&KernelSet::sample>("sample");
  Wrap<&KernelSet::logprobs>("logprobs");
  return state.timed;
}

}  // namespace deeprack::bench
