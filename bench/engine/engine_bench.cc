// Times one rank's engine without a server: prefill of prompts, then decode of all prompts together, at
// several batch sizes. Prints the time of a decode step, the bytes that the step reads, and the bandwidth of
// a plain read loop in the same run on the same threads. --operations prints the time of each operation. On a
// card only whole steps are timed.
//
//   engine_bench MODEL [--threads N] [--batch 1,8,32] [--prompt 512] [--decode 32] [--operations]
//                [--prefill-attention absorbed|expanded] [--load-format dummy]
//   engine_bench MODEL --card 0 [--unverified-kernels] [--decode-graphs] [--batch ..] and so on
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "bench/engine/operation_times.h"
#include "bench/engine/read_loop.h"
#include "bench/engine/timed_device.h"
#include "bench/engine/token_streams.h"
#include "kernels/api/thread_pool.h"
#include "model/config/kv_cache_type.h"
#include "model/files/load_format.h"
#include "worker/device/cuda/cuda_device.h"
#include "worker/engine/engine.h"
#include "worker/sequences/sequence_table.h"
#include "worker/topology/placed_cpu_device.h"

namespace deeprack::bench {
namespace {

struct BenchOptions {
  std::string model;
  int threads = static_cast<int>(std::thread::hardware_concurrency());
  std::vector<int32_t> batch = {1, 8, 32};
  int32_t prompt = 512;
  int32_t decode = 32;
  int32_t max_step_tokens = 512;
  int32_t repeat = 3;
  std::string compute = "bf16";
  std::string load_format = model::kDefaultLoadFormat;
  std::string kv_cache_dtype = model::kDefaultKvCacheType;
  std::string prefill_attention = "expanded";
  bool operations = false;
  int card = -1;  // -1: on the CPU
  bool unverified_kernels = false;
  bool decode_graphs = false;
};

// The CPU with timed operations, or a card with the kernels that a worker would choose.
absl::StatusOr<std::shared_ptr<worker::Device>> OpenDevice(const BenchOptions& options,
                                                           OperationTimes* times) {
  if (options.card < 0) {
    // As a worker's device whose rank is alone on the machine.
    return MakeTimedDevice(
        worker::MakePlacedCpuDevice({.allowed = kernels::AllowedProcessors(), .threads = options.threads}),
        times);
  }
  DR_ASSIGN_OR_RETURN(const kernels::CardProperties card, worker::PropertiesOfCard(options.card));
  const kernels::KernelChoice choice =
      options.unverified_kernels
          ? kernels::ChooseUnverifiedToo(card, kernels::SpecialKernels())
          : kernels::ChooseKernels(card, kernels::SpecialKernels(), kernels::VerifiedKernels());
  std::printf("%s\n", choice.Describe().c_str());
  return worker::OpenCudaDevice(options.card, options.threads, choice);
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Measurements of one phase, prefill or decode, over all repeats.
struct Phase {
  std::vector<double> seconds;  // of each prefill, of each decode step
  OperationTimes operations;    // of all of them

  double total() const {
    double sum = 0;
    for (const double s : seconds) sum += s;
    return sum;
  }
  double bytes() const {  // of one
    double sum = 0;
    for (const auto& [_, time] : operations) sum += time.weight_bytes + time.cache_bytes;
    return sum / static_cast<double>(seconds.size());
  }
};

void Add(const OperationTimes& from, OperationTimes& to) {
  for (const auto& [name, time] : from) {
    OperationTime& sum = to[name];
    sum.calls += time.calls;
    sum.seconds += time.seconds;
    sum.weight_bytes += time.weight_bytes;
    sum.cache_bytes += time.cache_bytes;
    sum.flops += time.flops;
  }
}

class EngineBench {
 public:
  static absl::StatusOr<EngineBench> Create(const BenchOptions& options) {
    EngineBench bench;
    bench.options_ = options;
    DR_ASSIGN_OR_RETURN(std::shared_ptr<worker::Device> device, OpenDevice(options, bench.times_.get()));
    std::printf("%s\n", device->description().c_str());
    kernels::ThreadPool* pool = device->execution().pool;
    worker::EngineOptions engine_options;
    engine_options.model_path = options.model;
    engine_options.compute = options.compute == "f32" ? DType::kF32 : DType::kBF16;
    DR_ASSIGN_OR_RETURN(engine_options.load_format, model::LoadFormatOf(options.load_format));
    DR_ASSIGN_OR_RETURN(engine_options.kv_cache,
                        model::KvCacheTypeOf(options.kv_cache_dtype, engine_options.compute));
    engine_options.prefill_attention = options.prefill_attention == "expanded"
                                           ? model::PrefillAttention::kExpanded
                                           : model::PrefillAttention::kAbsorbed;
    engine_options.max_step_tokens = options.max_step_tokens;
    engine_options.max_sequences = *std::max_element(options.batch.begin(), options.batch.end());
    engine_options.max_context = options.prompt + options.decode + 1;  // the last token drawn is not computed
    engine_options.threads = options.threads;
    engine_options.decode_graphs = options.decode_graphs;
    DR_ASSIGN_OR_RETURN(bench.engine_, worker::Engine::Create(engine_options, std::move(device), nullptr,
                                                              [](int64_t, int64_t) {}));
    if (options.card >= 0) return bench;
    DR_ASSIGN_OR_RETURN(ReadLoop read_loop, ReadLoop::Create(pool));
    bench.read_loop_ = std::make_unique<ReadLoop>(std::move(read_loop));
    return bench;
  }

  absl::Status Run() {
    std::printf("weights %.2f GB in memory, prompts of %d tokens, %d decodes, %s compute\n\n",
                static_cast<double>(engine_->memory().weight_bytes) / 1e9, options_.prompt, options_.decode,
                options_.compute.c_str());
    std::printf("| batch | prefill tok/s | decode tok/s | ms a step |%s\n",
                read_loop_ ? " GB a step | GB/s | read loop GB/s | share |" : "");
    std::printf("|------:|--------------:|-------------:|----------:|%s\n",
                read_loop_ ? "----------:|-----:|---------------:|------:|" : "");
    for (const int32_t batch : options_.batch) DR_RETURN_IF_ERROR(RunBatch(batch));
    return absl::OkStatus();
  }

 private:
  absl::Status RunBatch(int64_t batch) {
    Phase prefill, decode;
    std::vector<double> reads;
    for (int32_t i = 0; i < options_.repeat; ++i) {
      TokenStreams streams(batch, options_.prompt, options_.prompt + options_.decode,
                           engine_->config().vocab_size, static_cast<uint32_t>(i + 1));
      table_ = std::make_unique<worker::SequenceTable>(
          worker::SequenceTableOptions{.vocab_size = engine_->config().vocab_size,
                                       .blocks = engine_->memory().kv_blocks,
                                       .limits = engine_->limits()});
      DR_RETURN_IF_ERROR(Prefill(streams, prefill));
      for (int32_t step = 0; step < options_.decode; ++step) {
        if (read_loop_ && step % 8 == 0) reads.push_back(read_loop_->BytesPerSecond());  // at the same time
        DR_RETURN_IF_ERROR(Step(streams.NextDecode(), decode));
      }
    }
    const double step = Median(decode.seconds);
    std::printf("| %5d | %13.1f | %12.2f | %9.2f |", static_cast<int>(batch),
                static_cast<double>(batch * options_.prompt) / Median(prefill.seconds),
                static_cast<double>(batch) / step, step * 1e3);
    if (read_loop_) {
      const double read = Median(reads), rate = decode.bytes() / step;
      std::printf(" %9.3f | %4.1f | %14.1f | %4.0f%% |", decode.bytes() / 1e9, rate / 1e9, read / 1e9,
                  rate / read * 100);
    }
    std::printf("\n");
    if (read_loop_ && options_.operations) {
      PrintOperations("prefill", prefill);
      PrintOperations("decode", decode);
    }
    std::fflush(stdout);
    return absl::OkStatus();
  }

  // Prefills all prompts, in as many steps as needed, as one measurement.
  absl::Status Prefill(TokenStreams& streams, Phase& phase) {
    Phase steps;
    for (model::RankStep step = streams.NextPrefill(options_.max_step_tokens); !step.group.rows.empty();
         step = streams.NextPrefill(options_.max_step_tokens)) {
      DR_RETURN_IF_ERROR(Step(std::move(step), steps));
    }
    phase.seconds.push_back(steps.total());
    Add(steps.operations, phase.operations);
    return absl::OkStatus();
  }

  absl::Status Step(model::RankStep step, Phase& phase) {
    times_->clear();
    const auto start = std::chrono::steady_clock::now();
    DR_ASSIGN_OR_RETURN(const worker::GroupStep resolved, table_->Begin(std::move(step)));
    DR_ASSIGN_OR_RETURN(const worker::ExecutedStep executed, engine_->Execute(resolved));
    DR_RETURN_IF_ERROR(table_->Accept(resolved, executed.outcomes));
    phase.seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    Add(*times_, phase.operations);
    return absl::OkStatus();
  }

  static void PrintOperations(const char* what, const Phase& phase) {
    const double total = phase.total(), count = static_cast<double>(phase.seconds.size());
    std::vector<std::pair<std::string, OperationTime>> sorted(phase.operations.begin(),
                                                              phase.operations.end());
    std::sort(sorted.begin(), sorted.end(),
              [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
    std::printf("\n%s, %.2f ms each:\n%-36s %6s %9s %6s %7s %8s\n", what, total / count * 1e3, "operation",
                "calls", "ms", "share", "GB/s", "GFLOPS");
    double inside = 0;
    for (const auto& [name, time] : sorted) {
      inside += time.seconds;
      std::printf("%-36s %6.0f %9.3f %5.1f%% %7.1f %8.1f\n", name.c_str(),
                  static_cast<double>(time.calls) / count, time.seconds / count * 1e3,
                  time.seconds / total * 100, (time.weight_bytes + time.cache_bytes) / time.seconds / 1e9,
                  time.flops / time.seconds / 1e9);
    }
    std::printf("%-36s %6s %9.3f %5.1f%%\n\n", "between operations", "", (total - inside) / count * 1e3,
                (total - inside) / total * 100);
  }

  BenchOptions options_;
  std::unique_ptr<OperationTimes> times_ = std::make_unique<OperationTimes>();  // the device writes there
  std::unique_ptr<worker::Engine> engine_;
  std::unique_ptr<worker::SequenceTable> table_;  // of the streams under way
  std::unique_ptr<ReadLoop> read_loop_;           // null: on a card
};

int Main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app("Times one engine: prefill and decode, with what a plain read loop gets beside.");
  const auto positive = CLI::Range(1, 1 << 20);
  app.add_option("MODEL", options.model, "what `deeprack serve` takes")->required();
  app.add_option("--threads", options.threads, "compute threads")->check(positive)->capture_default_str();
  app.add_option("--batch", options.batch, "sequences decoded together, one size after the other")
      ->delimiter(',')
      ->check(positive)
      ->capture_default_str();
  app.add_option("--prompt", options.prompt, "tokens of each prompt")->check(positive)->capture_default_str();
  app.add_option("--decode", options.decode, "tokens decoded of each")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--max-step-tokens", options.max_step_tokens, "tokens of a prefill step")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--repeat", options.repeat, "runs of which medians are taken")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--compute", options.compute, "bf16 or f32")->check(CLI::IsMember({"bf16", "f32"}));
  app.add_option("--load-format", options.load_format,
                 "auto, or dummy: weights made up by MODEL/config.json");
  app.add_option("--kv-cache-dtype", options.kv_cache_dtype, "auto, bf16 or fp8");
  app.add_option("--prefill-attention", options.prefill_attention, "absorbed or expanded")
      ->check(CLI::IsMember({"absorbed", "expanded"}));
  app.add_flag("--operations", options.operations, "where the time goes, by operation");
  app.add_option("--card", options.card, "the card's number; default: the CPU");
  app.add_flag("--unverified-kernels", options.unverified_kernels, "as the worker's");
  app.add_flag("--decode-graphs", options.decode_graphs, "as the worker's");
  CLI11_PARSE(app, argc, argv);

  auto bench = EngineBench::Create(options);
  const absl::Status status = bench.ok() ? bench->Run() : bench.status();
  if (status.ok()) return 0;
  std::fprintf(stderr, "engine_bench: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace deeprack::bench

int main(int argc, char** argv) { return deeprack::bench::Main(argc, argv); }
