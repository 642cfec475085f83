#include "bench/gpu/full_rank.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/checked.h"
#include "base/status_macros.h"
#include "bench/engine/forwarding_device.h"
#include "bench/gpu/echo_world.h"
#include "model/config/model_config.h"
#include "nlohmann/json.hpp"
#include "sizing/kv_pages.h"
#include "sizing/rank_spec.h"
#include "sizing/weight_manifest.h"
#include "tests/unit/engine/written_step.h"
#include "worker/engine/preparation.h"

namespace deeprack::bench {
namespace {

namespace fs = std::filesystem;
using worker::Memory;
using worker::testing::WrittenSequence;
using worker::testing::WrittenStep;

constexpr Epoch kEpoch = 1;

// A recording that reports its runs.
class CountedGraph final : public worker::Graph {
 public:
  CountedGraph(std::unique_ptr<worker::Graph> graph, int64_t* last)
      : graph_(std::move(graph)), last_(*last) {}
  absl::Status Replay() override {
    last_ = kernels();
    return graph_->Replay();
  }
  int64_t kernels() const override { return graph_->kernels(); }

 private:
  const std::unique_ptr<worker::Graph> graph_;
  int64_t& last_;
};

// The card of a rank among copies of itself, each with a card of its own.
class EchoDevice final : public ForwardingDevice {
 public:
  EchoDevice(std::unique_ptr<worker::Device> device, const EchoShape& shape)
      : ForwardingDevice(std::move(device)),
        shape_(shape),
        echoed_(WithEchoedPeers(inner().kernels(), shape)),
        kernels_(echoed_) {}

  const kernels::KernelSet& kernels() const override { return kernels_; }
  int64_t AvailableBytes() const override { return inner().AvailableBytes() * shape_.ranks; }

  // No kernel reaches peers' memory (WithEchoedPeers).
  absl::StatusOr<Memory> AllocateForPeers(const std::string& purpose, int64_t bytes) override {
    return inner().Allocate(purpose, bytes);
  }
  absl::StatusOr<worker::PeerTicket> TicketOf(const Memory&) override { return worker::PeerTicket(); }
  absl::StatusOr<Memory> OpenPeerMemory(const worker::PeerTicket&) override { return Memory(); }

  // A recording would hide the operations in it.
  bool records_graphs() const override { return !is_timed_ && inner().records_graphs(); }
  absl::StatusOr<std::unique_ptr<worker::Graph>> Record(const std::function<absl::Status()>& queue) override {
    DR_ASSIGN_OR_RETURN(std::unique_ptr<worker::Graph> graph, inner().Record(queue));
    return std::make_unique<CountedGraph>(std::move(graph), &replayed_kernels_);
  }
  // The kernels of the last recording that ran since the last call; 0: none ran.
  int64_t TakeReplayedKernels() { return std::exchange(replayed_kernels_, 0); }

  // Null ends the timing.
  void Time(OperationTimes* times) {
    is_timed_ = times != nullptr;
    kernels_ = is_timed_ ? TimedKernels(echoed_, times, [this] { (void)inner().Synchronize(); }) : echoed_;
  }

 private:
  const EchoShape shape_;
  const kernels::KernelSet echoed_;
  kernels::KernelSet kernels_;
  bool is_timed_ = false;
  int64_t replayed_kernels_ = 0;
};

// A model folder that is deleted with the object.
class ModelFolder {
 public:
  ModelFolder() : path_(fs::temp_directory_path() / absl::StrCat("deeprack-full-rank-", getpid())) {
    fs::create_directories(path_);
  }
  ~ModelFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string path() const { return path_.string(); }
  void Write(const nlohmann::json& config) const { std::ofstream(path_ / "config.json") << config; }

 private:
  const fs::path path_;
};

class EchoedRank final : public FullRank {
 public:
  explicit EchoedRank(const FullRankOptions& options) : limits_(options) {}

  absl::Status Open(std::unique_ptr<worker::Device> device, worker::LogitsObserver* observer) {
    nlohmann::json json = nlohmann::json::parse(limits_.config, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return absl::InvalidArgumentError("the config is no JSON object");
    DR_ASSIGN_OR_RETURN(const model::ModelConfig config, model::ParseModelConfig(json.dump()));
    options_ = {.model_path = folder_.path(),
                .load_format = model::LoadFormat::kDummy,
                .layout = {.tp = 1, .dp = limits_.ranks, .ep = limits_.ranks, .pp = 1},
                .epoch = kEpoch,
                .expert_exchange = model::ExpertExchange::kAllToAll,
                .max_step_tokens = limits_.max_step_tokens,
                .max_sequences = limits_.max_sequences,
                .max_context = limits_.max_context,
                .decode_graphs = true};
    folder_.Write(json);
    DR_ASSIGN_OR_RETURN(const worker::Preparation preparation, worker::Prepare(options_, *device));
    shape_ = EchoShapeOf(config, options_.layout, preparation.dispatch_row_form);
    device_ = std::make_shared<EchoDevice>(std::move(device), shape_);
    DR_RETURN_IF_ERROR(ChooseLayers(std::move(json), config));
    world_ = MakeEchoWorld(shape_, device_.get(), &exchanging_);
    DR_ASSIGN_OR_RETURN(engine_, worker::Engine::Create(options_, device_, world_.get(), {}, observer));
    exchanging_ = true;
    CountWeights();
    return FillCache();
  }

  absl::StatusOr<StepTime> Decode(int32_t sequences, int32_t context, int repeats) override {
    const WrittenStep plan = DecodePlan(sequences, context);
    return Median(repeats, [&] { return Step(plan); });
  }

  double BytesOfDecode(int32_t sequences, int32_t context) const override {
    const model::ModelConfig& config = engine_->config();
    const double experts = static_cast<double>(config.n_routed_experts / shape_.ranks);
    const double pairs = static_cast<double>(sequences) * static_cast<double>(config.num_experts_per_tok);
    const double with_rows = 1.0 - std::pow(1.0 - 1.0 / experts, pairs);
    const double entry = static_cast<double>(sizing::KvPageBytes(spec_)) / static_cast<double>(kPageTokens);
    return common_bytes_ + with_rows * expert_bytes_ +
           static_cast<double>(sequences) * static_cast<double>(context) * entry;
  }

  absl::StatusOr<StepTime> Prefill(int32_t tokens, int repeats) override {
    return Median(repeats, [&] { return PrefillOnce(tokens); });
  }

  absl::StatusOr<OperationTimes> OperationsOfDecode(int32_t sequences, int32_t context) override {
    return Timed([&] { return Step(DecodePlan(sequences, context)); });
  }
  absl::StatusOr<OperationTimes> OperationsOfPrefill(int32_t tokens) override {
    return Timed([&] { return PrefillOnce(tokens); });
  }

  int64_t layers() const override { return engine_->config().num_hidden_layers; }
  worker::Engine& engine() override { return *engine_; }

 private:
  // Pages that all decodes read, and for each decode one page that it writes.
  int64_t read_pages() const { return CeilDiv(limits_.cached_tokens, kPageTokens); }
  int64_t pages() const {
    return std::max(read_pages() + limits_.max_sequences, CeilDiv(int64_t{limits_.max_context}, kPageTokens));
  }

  // The number of layers that fit the device's memory; every layer adds the same bytes.
  absl::Status ChooseLayers(nlohmann::json json, const model::ModelConfig& config) {
    const auto needed = [&](int64_t layers) -> absl::StatusOr<int64_t> {
      json["num_hidden_layers"] = layers;
      folder_.Write(json);
      DR_ASSIGN_OR_RETURN(worker::Preparation preparation, worker::Prepare(options_, *device_));
      options_.kv_bytes = pages() * preparation.bytes.page;
      manifest_ = std::move(preparation.manifest);
      spec_ = std::move(preparation.spec);
      return preparation.bytes.fixed() + options_.kv_bytes;
    };
    const int64_t room = device_->AvailableBytes() / shape_.ranks / 100 * 97;
    const int64_t most = config.num_hidden_layers;
    DR_ASSIGN_OR_RETURN(const int64_t whole, needed(most));
    if (whole <= room) return absl::OkStatus();
    DR_ASSIGN_OR_RETURN(const int64_t less, needed(most - 1));
    const int64_t layers = most - CeilDiv(whole - room, whole - less);
    if (layers <= config.first_k_dense_replace) {
      return absl::ResourceExhaustedError(
          absl::StrCat("a rank of ", most, " layers takes ", whole, " bytes, and ", room,
                       " are free: not enough for one layer with experts. Use "
                       "more ranks, or a card that no other program uses"));
    }
    return needed(layers).status();
  }

  // The bytes of weights that every decode step reads, and of all experts. The embedding is left out: a step
  // reads a few of its rows.
  void CountWeights() {
    for (const sizing::PackedTensor& tensor : manifest_.tensors) {
      const bool of_experts =
          tensor.kind == model::TensorKind::kExpertGate || tensor.kind == model::TensorKind::kExpertDown;
      if (tensor.form == sizing::WeightForm::kTable) continue;
      (of_experts ? expert_bytes_ : common_bytes_) += static_cast<double>(tensor.bytes());
    }
  }

  // Entries as a model makes them: the card's power draw depends on the values.
  absl::Status FillCache() {
    for (int64_t page = 0; page < read_pages(); page += pages_of_chunk()) {
      const int64_t count = std::min(pages_of_chunk(), read_pages() - page);
      WrittenSequence sequence = Sequence(0, count * kPageTokens);
      for (int64_t i = 0; i < count; ++i) sequence.block_table.push_back(static_cast<BlockId>(page + i));
      DR_RETURN_IF_ERROR(Step({.epoch = kEpoch, .step = ++step_, .sequences = {sequence}}).status());
    }
    return absl::OkStatus();
  }
  int64_t pages_of_chunk() const {
    return std::max<int64_t>(1, std::min(limits_.max_step_tokens, limits_.max_context) / kPageTokens);
  }

  // Tokens [begin, end) of a prompt.
  WrittenSequence Sequence(int64_t begin, int64_t end) const {
    WrittenSequence sequence;
    sequence.prompt_size = static_cast<int32_t>(end);
    sequence.num_computed = static_cast<int32_t>(begin);
    for (int64_t i = begin; i < end; ++i) sequence.token_ids.push_back(TokenAt(0, i));
    sequence.sample = true;
    sequence.sampling.temperature = 0;
    return sequence;
  }

  TokenId TokenAt(int64_t sequence, int64_t position) const {
    return static_cast<TokenId>((sequence * 7919 + position * 104729) % engine_->config().vocab_size);
  }

  WrittenStep DecodePlan(int32_t sequences, int32_t context) {
    WrittenStep plan = {.epoch = kEpoch, .sequences = {}};
    int64_t next_page = 0;
    for (int32_t s = 0; s < sequences; ++s) {
      WrittenSequence& sequence = plan.sequences.emplace_back();
      sequence.sequence = static_cast<SequenceId>(s);
      sequence.num_computed = context - 1;
      sequence.prompt_size = std::max(1, context - 1);
      sequence.token_ids = {TokenAt(s, context)};
      for (int64_t page = 0; page < CeilDiv(int64_t{context}, kPageTokens) - 1; ++page) {
        sequence.block_table.push_back(static_cast<BlockId>(next_page++ % read_pages()));
      }
      sequence.block_table.push_back(static_cast<BlockId>(read_pages() + s));
      sequence.sample = true;
      sequence.sampling.temperature = 0;
    }
    return plan;
  }

  absl::StatusOr<StepTime> PrefillOnce(int64_t tokens) {
    StepTime sum;
    for (int64_t begin = 0; begin < tokens; begin += limits_.max_step_tokens) {
      const int64_t end = std::min(tokens, begin + limits_.max_step_tokens);
      WrittenSequence sequence = Sequence(begin, end);
      sequence.prompt_size = static_cast<int32_t>(tokens);
      sequence.sample = end == tokens;
      for (int64_t page = 0; page < CeilDiv(end, kPageTokens); ++page) {
        sequence.block_table.push_back(static_cast<BlockId>(page));
      }
      DR_ASSIGN_OR_RETURN(const StepTime step, Step({.epoch = kEpoch, .sequences = {sequence}}));
      sum.seconds += step.seconds;
    }
    return sum;
  }

  absl::StatusOr<StepTime> Step(WrittenStep plan) {
    plan.step = ++step_;
    const auto start = std::chrono::steady_clock::now();
    DR_RETURN_IF_ERROR(engine_->Execute(GroupStepOf(plan, options_.layout, /*rank=*/0)).status());
    return StepTime{.seconds =
                        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
  }

  // Two steps are not counted: the first step of a shape loads kernels, the second is recorded.
  template <class Run>
  absl::StatusOr<StepTime> Median(int repeats, const Run& run) {
    std::vector<double> seconds;
    for (int i = -2; i < repeats; ++i) {
      DR_ASSIGN_OR_RETURN(const StepTime step, run());
      if (i >= 0) seconds.push_back(step.seconds);
    }
    std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
    return StepTime{.seconds = seconds[static_cast<size_t>(repeats / 2)],
                    .kernels = device_->TakeReplayedKernels()};
  }

  template <class Run>
  absl::StatusOr<OperationTimes> Timed(const Run& run) {
    OperationTimes times;
    device_->Time(&times);
    const absl::Status status = run().status();
    device_->Time(nullptr);
    DR_RETURN_IF_ERROR(status);
    return times;
  }

  const FullRankOptions limits_;
  const ModelFolder folder_;
  worker::EngineOptions options_;
  sizing::RankSpec spec_;  // of the layers that are made, as the manifest
  sizing::WeightManifest manifest_;
  EchoShape shape_;
  bool exchanging_ = false;
  std::shared_ptr<EchoDevice> device_;
  std::unique_ptr<worker::Communicator> world_;
  std::unique_ptr<worker::Engine> engine_;  // destroyed first
  double common_bytes_ = 0, expert_bytes_ = 0;
  StepId step_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<FullRank>> FullRank::Create(const FullRankOptions& options,
                                                           std::unique_ptr<worker::Device> device,
                                                           worker::LogitsObserver* observer) {
  auto rank = std::make_unique<EchoedRank>(options);
  DR_RETURN_IF_ERROR(rank->Open(std::move(device), observer));
  return rank;
}

}  // namespace deeprack::bench
