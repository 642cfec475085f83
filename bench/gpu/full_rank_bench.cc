// One rank of a rack that serves DeepSeek R1, by the worker's own engine (full_rank.h): decode steps at
// several batches and contexts, and prefill, with the experts of 8-way and of 32-way expert parallelism.
// Prints for each: tokens per second, kernels per layer, the share of the time that the reads take at least,
// and the time of each operation.
//   full_rank_bench [--quick] [--plain] [--ranks 8,32] [--layers 61]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "bench/gpu/full_rank.h"
#include "bench/gpu/kernel_timer.h"
#include "kernels/api/card_kernels.h"
#include "worker/device/cuda/cuda_device.h"

namespace deeprack::bench {
namespace {

// R1's published config.json, without fields that the engine does not read. MTP is not served.
constexpr char kR1[] = R"({
  "model_type": "deepseek_v3", "attention_bias": false, "hidden_act": "silu", "hidden_size": 7168,
  "intermediate_size": 18432, "moe_intermediate_size": 2048, "num_hidden_layers": %d, "first_k_dense_replace": 3,
  "moe_layer_freq": 1, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "n_group": 8,
  "topk_group": 4, "topk_method": "noaux_tc", "scoring_func": "sigmoid", "norm_topk_prob": true,
  "routed_scaling_factor": 2.5, "num_attention_heads": 128, "num_key_value_heads": 128, "q_lora_rank": 1536,
  "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "rms_norm_eps": 1e-06,
  "rope_theta": 10000, "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0,
    "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096, "type": "yarn"},
  "max_position_embeddings": 163840, "tie_word_embeddings": false, "vocab_size": 129280, "bos_token_id": 0,
  "eos_token_id": 1, "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
    "weight_block_size": [128, 128]}})";
constexpr int32_t kLayers = 61;

struct Options {
  bool quick = false;
  bool plain = false;
  std::vector<int32_t> ranks = {8, 32};
  int32_t layers = kLayers;
};

absl::StatusOr<std::unique_ptr<worker::Device>> OpenCard(const Options& options) {
  DR_ASSIGN_OR_RETURN(const kernels::CardProperties card, worker::PropertiesOfCard(0));
  const kernels::KernelChoice choice =
      options.plain ? kernels::KernelChoice{} : kernels::ChooseUnverifiedToo(card, kernels::SpecialKernels());
  std::printf("%s: %s\n", card.name.c_str(), choice.Describe().c_str());
  const int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return worker::OpenCudaDevice(0, threads, choice);
}

class Bench {
 public:
  Bench(const Options& options, int32_t ranks) : options_(options), ranks_(ranks) {}

  absl::Status Run() {
    limits_ = MeasureCard();
    DR_ASSIGN_OR_RETURN(std::unique_ptr<worker::Device> card, OpenCard(options_));
    char config[sizeof(kR1) + 16];
    std::snprintf(config, sizeof(config), kR1, options_.layers);
    DR_ASSIGN_OR_RETURN(rank_, FullRank::Create({.config = config,
                                                 .ranks = ranks_,
                                                 .max_context = 32768 + 64,
                                                 .max_step_tokens = 4096,
                                                 .max_sequences = 128,
                                                 .cached_tokens = options_.plain   ? kPlainTokens
                                                                  : options_.quick ? 65536
                                                                                   : 131072},
                                                std::move(card)));
    const worker::EngineMemory& memory = rank_->engine().memory();
    std::printf(
        "ep%d: %.1f GB of dummy weights, %ld of %d layers%s\n", ranks_,
        static_cast<double>(memory.weight_bytes) / 1e9, rank_->layers(), kLayers,
        rank_->layers() < kLayers
            ? "; times and rates are scaled to all of them, the host's part, the logits and the dense "
              "layers too"
            : "");
    for (const int32_t context : {1024, 4096, 32768}) {
      for (const int32_t batch : {1, 8, 32, 128}) {
        if (options_.quick && (context != 4096 || batch == 8)) continue;
        DR_RETURN_IF_ERROR(TimeDecode(batch, context));
      }
    }
    if (options_.plain) {
      std::printf(
          "all sequences read the same %d tokens; prefill is not timed: plain products take minutes\n",
          kPlainTokens);
      return absl::OkStatus();
    }
    for (const int32_t prompt : {4096, 16384}) {
      if (options_.quick && prompt != 4096) continue;
      DR_RETURN_IF_ERROR(TimePrefill(prompt));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status TimeDecode(int32_t batch, int32_t context) {
    DR_ASSIGN_OR_RETURN(const StepTime step, rank_->Decode(batch, context, kRepeats));
    std::printf("ep%-2d %5d x    1 rows, context %6d: ", ranks_, batch, context);
    PrintStep(step, batch);
    const double floor = rank_->BytesOfDecode(batch, context) / limits_.bytes_per_second;
    std::printf("    reads %.1f GB: %.2f ms at the copy bandwidth of %.2f TB/s, %.0f%% of the time\n",
                rank_->BytesOfDecode(batch, context) * scale() / 1e9, floor * scale() * 1e3,
                limits_.bytes_per_second / 1e12, 100 * floor / step.seconds);
    DR_ASSIGN_OR_RETURN(const OperationTimes times, rank_->OperationsOfDecode(batch, context));
    PrintOperations(times);
    return absl::OkStatus();
  }

  absl::Status TimePrefill(int32_t prompt) {
    DR_ASSIGN_OR_RETURN(const StepTime step, rank_->Prefill(prompt, kRepeats));
    std::printf("ep%-2d     1 x %4d rows, context %6d: ", ranks_, prompt, prompt);
    PrintStep(step, prompt);
    DR_ASSIGN_OR_RETURN(const OperationTimes times, rank_->OperationsOfPrefill(prompt));
    PrintOperations(times);
    return absl::OkStatus();
  }

  double scale() const { return static_cast<double>(kLayers) / static_cast<double>(rank_->layers()); }

  void PrintStep(const StepTime& step, int64_t tokens) const {
    const double seconds = step.seconds * scale();
    std::printf("%9.2f ms, %9.0f tokens/s, ", seconds * 1e3, static_cast<double>(tokens) / seconds);
    if (step.kernels > 0) {
      std::printf("%.1f kernels a layer\n",
                  static_cast<double>(step.kernels) / static_cast<double>(rank_->layers()));
    } else {
      std::printf("not from a recording\n");
    }
  }

  void PrintOperations(const OperationTimes& times) const {
    std::vector<std::pair<std::string, OperationTime>> sorted(times.begin(), times.end());
    std::sort(sorted.begin(), sorted.end(),
              [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
    double sum = 0;
    for (const auto& [name, time] : sorted) sum += time.seconds;
    for (const auto& [name, time] : sorted) {
      if (time.seconds < 0.005 * sum) continue;
      std::printf("    %-44s %6ld calls %9.2f ms %5.1f%%\n", name.c_str(), time.calls,
                  time.seconds * scale() * 1e3, 100 * time.seconds / sum);
    }
    std::printf("    %-44s              %9.2f ms, each waited for by itself\n", "all operations",
                sum * scale() * 1e3);
    std::fflush(stdout);
  }

  static constexpr int kRepeats = 5;
  static constexpr int32_t kPlainTokens = 256;  // plain kernels prefill this many in seconds
  const Options options_;
  const int32_t ranks_;
  std::unique_ptr<FullRank> rank_;
  CardLimits limits_;
};

// Returns false for arguments that the program does not take.
bool Read(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const char* const value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (argument == "--quick") {
      options.quick = true;
    } else if (argument == "--plain") {
      options.plain = true;
    } else if (argument == "--ranks" && value != nullptr) {
      options.ranks.clear();
      for (char* at = argv[++i]; *at != '\0'; at += *at == ',') {
        options.ranks.push_back(static_cast<int32_t>(std::strtol(at, &at, 10)));
        if (*at != ',' && *at != '\0') return false;
        if (options.ranks.back() != 8 && options.ranks.back() != 32) return false;
      }
    } else if (argument == "--layers" && value != nullptr) {
      options.layers = std::atoi(argv[++i]);
      if (options.layers < 4 || options.layers > kLayers) return false;
    } else {
      return false;
    }
  }
  return true;
}

int Main(int argc, char** argv) {
  Options options;
  if (!Read(argc, argv, options)) {
    std::fprintf(stderr, "full_rank_bench [--quick] [--plain] [--ranks 8,32] [--layers 4..61]\n");
    return 64;
  }
  for (const int32_t ranks : options.ranks) {
    if (const absl::Status status = Bench(options, ranks).Run(); !status.ok()) {
      std::fprintf(stderr, "full_rank_bench: %s\n", std::string(status.message()).c_str());
      return absl::IsFailedPrecondition(status) ? 69 : 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace deeprack::bench

int main(int argc, char** argv) { return deeprack::bench::Main(argc, argv); }
