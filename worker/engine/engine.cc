#include "worker/engine/engine.h"

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/ids.h"
#include "base/status_macros.h"
#include "checkpoint/checkpoint_reader.h"
#include "spdlog/spdlog.h"
#include "worker/decoder/decoder.h"
#include "worker/decoder/matrix_view.h"
#include "worker/device/cpu_device.h"
#include "worker/device/huge_pages.h"
#include "worker/engine/decode_graphs.h"
#include "worker/engine/draft_requests.h"
#include "worker/engine/engine_parts.h"
#include "worker/engine/fault_place.h"
#include "worker/engine/preparation.h"
#include "worker/engine/rank_agreement.h"
#include "worker/sampling/sampler.h"
#include "worker/weights/packed_identity.h"

namespace deeprack::worker {
namespace {

absl::Status CheckWorld(const model::Layout& layout, const Communicator* world) {
  const int ranks = world == nullptr ? 1 : world->size();
  if (ranks == layout.world_size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("layout ", ToString(layout), " is for ", layout.world_size(),
                                                 " ranks, but ", ranks, " are here"));
}

class RankEngine final : public Engine {
 public:
  RankEngine(const Preparation& preparation, std::shared_ptr<Device> device, Communicator* world,
             EngineParts parts, LogitsObserver* observer)
      : options_(preparation.options),
        spec_(preparation.spec),
        files_(preparation.files),
        needs_(preparation.needs),
        at_(spec_.coordinates()),
        device_(std::move(device)),
        world_(world),
        planner_(preparation.planner),
        parts_(std::move(parts)),
        sampler_(*device_, parts_.workspace.logits.rows, parts_.workspace.adjusted_logits, parts_.step.inputs,
                 parts_.step.results, parts_.step.adjustments),
        graphs_(*device_),
        observer_(observer) {
    memory_ = {.kv_blocks = 0,
               .weight_bytes = parts_.weights.arena.capacity(),
               .kv_bytes = parts_.cache.bytes(),
               .workspace_bytes = parts_.weight_tables.capacity() + parts_.workspace_arena.capacity() +
                                  parts_.scratch_arena.capacity() + parts_.step.arena.capacity() +
                                  parts_.peer_areas.bytes(),
               .speculative_tokens = spec_.speculative_tokens};
    BeginEpoch(parts_.cache.blocks());
  }

  bool Suits(const EngineOptions& options) const override;
  absl::Status Rejoin(Epoch epoch, Communicator* world) override;

  absl::StatusOr<ExecutedStep> Execute(const GroupStep& step) override;

  const EngineMemory& memory() const override { return memory_; }
  const model::ModelConfig& config() const override { return spec_.config; }
  const model::StepLimits& limits() const override { return spec_.limits; }

 private:
  // parts_.seams must exist.
  void BeginEpoch(int64_t blocks) {
    decoder_.emplace(PartsOfDecoder());
    if (spec_.has_mtp()) {
      drafter_.emplace(spec_, *decoder_, planner_, *device_, parts_.step.draft_inputs,
                       parts_.step.draft_results);
    }
    memory_.kv_blocks = static_cast<int32_t>(blocks);
    batch_.chunks.clear();
    graphs_.Forget();
    broken_ = absl::OkStatus();
  }

  DecoderParts PartsOfDecoder() {
    kernels::Execution execution = device_->execution();
    execution.scratch = parts_.scratch;
    return {.config = &spec_.config,
            .layout = spec_.layout,
            .rank = spec_.rank,
            .expert_exchange = spec_.expert_exchange,
            .compute = spec_.compute,
            .expanded = planner_.expanded(),
            .weights = &parts_.weights.weights,
            .cache = &parts_.cache,
            .workspace = parts_.workspace,
            .seams = parts_.seams.get(),
            .kernels = &device_->kernels(),
            .execution = execution};
  }

  bool last_stage() const { return spec_.is_last_stage(); }
  // The most rows of a decode step that runs from a recording.
  int64_t most_recorded_rows() const {
    if (!options_.decode_graphs || !device_->records_graphs()) return 0;
    return std::min(decoder_->max_logit_rows(), decoder_->most_recorded_rows());
  }
  bool answers() const { return last_stage() && at_.tp_rank == 0; }

  int64_t HeldBytes() const;
  // A step in two parts. Queue lays out the inputs on the host and queues the device's work, Collect waits
  // for the device and reads the results.
  absl::Status Queue(const GroupStep& step);
  absl::Status Collect(const GroupStep& step, ExecutedStep& executed);
  // Waits for all work that is queued, and for the other ranks' part of it.
  absl::Status AwaitQueued();
  // Lists the rows whose logits are needed: for scores of prompt tokens and for draws.
  void ListRequests(const GroupStep& step);
  absl::Status ComputeLogits();
  absl::Status RunDecodes(int64_t bucket);
  absl::Status Answer(const GroupStep& step, ExecutedStep& executed);
  // The tokens that the sequence keeps of its draws, the first of which is `sample`.
  absl::Status AnswerDraws(const StepSequence& sequence, const Batch::Chunk& chunk, size_t sample,
                           StepId step, model::SequenceResult& answer);
  // Every rank of the dp group gets the tokens of the rank that draws.
  absl::Status ShareTokens(std::vector<TokenId>& tokens);
  // Makes the sequences' next drafts. The last stage's ranks call it together.
  absl::Status MakeDrafts(const GroupStep& step, StepOutcomes& outcomes);
  // Reports that the logits after the chunk's token i, of which `token` is the first, are not finite.
  absl::Status ReportNonFinite(const StepSequence& sequence, const Batch::Chunk& chunk, int32_t i,
                               TokenId token, StepId step, model::SequenceResult& answer);
  absl::Status ShowLogits();

  EngineOptions options_;
  const sizing::RankSpec spec_;
  const Digest files_;     // digest of the checkpoint's files
  const RankNeeds needs_;  // counted before any memory was taken
  const model::RankCoordinates at_;
  const std::shared_ptr<Device> device_;  // destroyed after the members below
  Communicator* world_;                   // null: this rank is alone
  const AttentionPlanner planner_;
  EngineParts parts_;
  std::optional<Decoder> decoder_;  // made anew for each epoch
  std::optional<Drafter> drafter_;  // likewise; only with the MTP layer
  Sampler sampler_;
  DecodeGraphs graphs_;
  LogitsObserver* const observer_;  // null: no observer
  EngineMemory memory_;
  absl::Status broken_;  // not OK: the reason why no step can run

  // The members below belong to the step under way or to the last step.
  Batch batch_;
  std::vector<ScoreRequest> scores_;
  std::vector<SampleRequest> samples_;
  std::vector<int32_t> score_end_of_chunk_;  // entry c: the number of scores up to and including chunk c
  std::vector<int32_t> sample_of_chunk_;     // entry c: the index of chunk c's sample; -1: none
  std::vector<float> shown_logits_;          // a copy of a card's logits in host memory
};

bool RankEngine::Suits(const EngineOptions& options) const {
  EngineOptions same = options;
  same.epoch = options_.epoch;
  same.packed = options_.packed;  // packed and decode_graphs are the worker's own options, not a load's
  same.decode_graphs = options_.decode_graphs;
  same.vocabulary = options_.vocabulary;
  if (same != options_) return false;
  const auto reader =
      checkpoint::CheckpointReader::Open(options.model_path, spec_.config, options.load_format);
  if (!reader.ok()) return false;
  const auto files = DigestOfCheckpoint(*reader);
  return files.ok() && *files == files_;
}

std::array<std::span<const std::byte>, 3> MemoryOf(const EngineParts& parts) {
  const auto bytes = [](const void* data, int64_t size) {
    return std::span(static_cast<const std::byte*>(data), static_cast<size_t>(size));
  };
  return {bytes(parts.weights.arena.data(), parts.weights.arena.capacity()),
          bytes(parts.cache.layer(0), parts.cache.bytes()),
          bytes(parts.workspace_arena.data(), parts.workspace_arena.capacity())};
}

// On a device that shares the host's memory, pages that were never written are not held yet, and pages mapped
// from a file belong to the page cache.
int64_t RankEngine::HeldBytes() const {
  if (device_->shares_host_memory()) return ResidentBytes(MemoryOf(parts_));
  return memory_.weight_bytes + memory_.kv_bytes + memory_.workspace_bytes;
}

absl::Status RankEngine::Rejoin(Epoch epoch, Communicator* world) {
  if (epoch <= options_.epoch) {
    return absl::FailedPreconditionError(
        absl::StrCat("epoch ", epoch, " does not follow epoch ", options_.epoch, " of this rank"));
  }
  DR_RETURN_IF_ERROR(CheckWorld(options_.layout, world));
  broken_ = absl::FailedPreconditionError("this rank has not joined its ranks again");
  // All work of the old world must be done before its groups are destroyed.
  DR_RETURN_IF_ERROR(device_->Synchronize());
  RankNeeds needs = needs_;
  needs.memory.available_bytes = device_->AvailableBytes();
  needs.memory.kv_bytes = memory_.kv_bytes;
  needs.memory.held_bytes = HeldBytes();
  needs.most_blocks = parts_.cache.blocks();
  DR_ASSIGN_OR_RETURN(const int64_t blocks, AgreeToLoad(absl::OkStatus(), needs, world, *device_));
  DR_ASSIGN_OR_RETURN(std::unique_ptr<Seams> seams, Seams::Create(options_.layout, options_.rank, world,
                                                                  device_.get(), &parts_.peer_areas));
  drafter_.reset();
  decoder_.reset();
  parts_.seams = std::move(seams);
  world_ = world;
  options_.epoch = epoch;
  BeginEpoch(blocks);
  return absl::OkStatus();
}

absl::StatusOr<ExecutedStep> RankEngine::Execute(const GroupStep& step) {
  if (!broken_.ok()) return broken_;
  if (step.epoch != options_.epoch) {
    return absl::FailedPreconditionError(absl::StrCat("step ", step.step, " is of epoch ", step.epoch,
                                                      ", but this engine is of epoch ", options_.epoch));
  }
  const int64_t start_nanos = absl::GetCurrentTimeNanos();
  parts_.seams->TakeElapsed();
  ExecutedStep executed = {.result = {.epoch = step.epoch, .step = step.step, .sequences = {}, .timings = {}},
                           .outcomes = {}};
  const auto entries = [&](auto count) {
    return std::transform_reduce(step.sequences.begin(), step.sequences.end(), int64_t{0}, std::plus<>(),
                                 count);
  };
  executed.outcomes.tokens.assign(entries([](const StepSequence& s) { return s.outcomes(); }), kNoToken);
  executed.outcomes.drafts.assign(entries([](const StepSequence& s) { return s.next_drafts; }), 0);
  absl::Status status = Queue(step);
  if (status.ok()) status = Collect(step, executed);
  if (!status.ok()) {
    batch_.chunks.clear();
    parts_.seams->Release();
    broken_ = absl::Status(status.code(), absl::StrCat("epoch ", options_.epoch, " ended in step ", step.step,
                                                       " on rank ", options_.rank, ": ", status.message()));
    return broken_;
  }
  executed.result.timings = {
      .total_seconds = static_cast<double>(absl::GetCurrentTimeNanos() - start_nanos) * 1e-9,
      .collective_seconds = absl::ToDoubleSeconds(parts_.seams->TakeElapsed())};
  return executed;
}

// The host lays out all inputs and sends them in one copy. Then the device works alone.
absl::Status RankEngine::Queue(const GroupStep& step) {
  const int64_t bucket = GraphBucketOf(step, most_recorded_rows());
  parts_.step.inputs.Clear();
  parts_.step.results.Clear();
  FillBatch(step, at_.dp_rank, bucket, planner_, parts_.step.inputs, batch_);
  if (last_stage()) {
    ListRequests(step);
    sampler_.Plan(scores_, samples_, bucket);
  }
  FillBlockTables(step, planner_, parts_.step.inputs, batch_);
  DR_RETURN_IF_ERROR(parts_.step.inputs.Send());
  if (bucket > 0) {
    DR_RETURN_IF_ERROR(RunDecodes(bucket));
  } else {
    DR_RETURN_IF_ERROR(decoder_->Forward(batch_));
    if (last_stage()) DR_RETURN_IF_ERROR(ComputeLogits());
  }
  return answers() ? parts_.step.results.Fetch() : absl::OkStatus();
}

absl::Status RankEngine::Collect(const GroupStep& step, ExecutedStep& executed) {
  DR_RETURN_IF_ERROR(AwaitQueued());
  if (answers()) DR_RETURN_IF_ERROR(Answer(step, executed));
  if (answers() && observer_ != nullptr) DR_RETURN_IF_ERROR(ShowLogits());
  const bool alone = options_.layout.tp == 1 && options_.layout.pp == 1;
  if (!alone && step.has_outcomes()) DR_RETURN_IF_ERROR(ShareTokens(executed.outcomes.tokens));
  if (drafter_) DR_RETURN_IF_ERROR(MakeDrafts(step, executed.outcomes));
  if (!alone && !executed.outcomes.drafts.empty()) DR_RETURN_IF_ERROR(ShareTokens(executed.outcomes.drafts));
  return absl::OkStatus();
}

absl::Status RankEngine::AwaitQueued() {
  if (world_ != nullptr) DR_RETURN_IF_ERROR(world_->Await());
  DR_RETURN_IF_ERROR(device_->Synchronize());
  return parts_.seams->Check();
}

absl::Status RankEngine::MakeDrafts(const GroupStep& step, StepOutcomes& outcomes) {
  const DraftRequests drafts = DraftRequestsOf(step, batch_, outcomes.tokens);
  drafter_->Plan(drafts.requests, drafts.requests_of_group, drafts.next_tokens);
  DR_RETURN_IF_ERROR(drafter_->Run(batch_));
  DR_RETURN_IF_ERROR(drafter_->Fetch());
  DR_RETURN_IF_ERROR(AwaitQueued());
  auto next = outcomes.drafts.begin();
  for (size_t r = 0; r < drafts.requests.size(); ++r) {
    for (int32_t d = 0; d < drafts.requests[r].drafts; ++d) {
      // A layer with numbers that are not finite draws no token of the vocabulary. Any token may be a draft.
      const TokenId token = drafter_->TokenOf(r, d);
      *next++ = token >= 0 && token < spec_.config.vocab_size ? token : 0;
    }
  }
  return absl::OkStatus();
}

// The area of the results holds two tokens for each row that draws, and its own values have been read.
absl::Status RankEngine::ShareTokens(std::vector<TokenId>& tokens) {
  const int64_t count = std::ssize(tokens);
  StagedArea& area = parts_.step.results;
  area.Clear();
  const Staged<TokenId> own = area.Take<TokenId>(count);
  const Staged<TokenId> all = area.Take<TokenId>(count);
  std::copy(tokens.begin(), tokens.end(), own.host);
  if (answers()) DR_RETURN_IF_ERROR(area.Send());
  DR_RETURN_IF_ERROR(
      parts_.seams->ShareOutcomes(own.device, all.device, count * static_cast<int64_t>(sizeof(TokenId))));
  DR_RETURN_IF_ERROR(area.Fetch());
  DR_RETURN_IF_ERROR(AwaitQueued());
  std::copy_n(all.host, count, tokens.begin());
  return absl::OkStatus();
}

// Runs a step of decodes. The model runs from a recording. The draws differ from step to step, so they are
// not recorded.
absl::Status RankEngine::RunDecodes(int64_t bucket) {
  const auto logits = [&] { return decoder_->Logits(sampler_.sample_rows(), bucket).status(); };
  // With several ranks the communicator gathers the logits, outside the recording.
  const bool alone = options_.layout.tp == 1;
  DR_RETURN_IF_ERROR(graphs_.Run(bucket, [&]() -> absl::Status {
    DR_RETURN_IF_ERROR(decoder_->Forward(batch_));
    return alone ? logits() : absl::OkStatus();
  }));
  if (!alone) DR_RETURN_IF_ERROR(logits());
  if (!answers()) return absl::OkStatus();
  return sampler_.Sample(FirstRows(parts_.workspace.logits, std::ssize(samples_)));
}

void RankEngine::ListRequests(const GroupStep& step) {
  scores_.clear();
  samples_.clear();
  score_end_of_chunk_.clear();
  sample_of_chunk_.clear();
  for (const Batch::Chunk& chunk : batch_.chunks) {
    const StepSequence& sequence = step.sequences[static_cast<size_t>(chunk.index)];
    const int32_t last = std::min(chunk.rows, sequence.prompt_size - sequence.num_computed - 1);
    for (int32_t p = 0; sequence.prompt_logprobs >= 0 && p < last; ++p) {
      const TokenId next =
          p + 1 < chunk.rows ? sequence.token_ids[static_cast<size_t>(p) + 1] : sequence.next_token;
      scores_.push_back({.batch_row = chunk.RowOf(p), .token = next, .num_top = sequence.prompt_logprobs});
    }
    score_end_of_chunk_.push_back(static_cast<int32_t>(scores_.size()));
    sample_of_chunk_.push_back(sequence.sample ? static_cast<int32_t>(samples_.size()) : -1);
    for (int32_t draw = 0; draw < sequence.draws(); ++draw) {
      samples_.push_back(
          {.batch_row = chunk.RowOf(sequence.RowsBefore(draw) - 1), .sequence = &sequence, .draw = draw});
    }
  }
}

// Computes the scores in parts that fit the logits' buffer, then all draws in one part. The logits of the
// draws stay in the buffer for the observer.
absl::Status RankEngine::ComputeLogits() {
  const int64_t scores = std::ssize(scores_);
  for (int64_t first = 0; first < scores; first += decoder_->max_logit_rows()) {
    const int64_t count = std::min(decoder_->max_logit_rows(), scores - first);
    DR_ASSIGN_OR_RETURN(const kernels::Matrix logits, decoder_->Logits(sampler_.score_rows() + first, count));
    if (answers()) sampler_.Score(logits, first);
  }
  DR_ASSIGN_OR_RETURN(const kernels::Matrix logits,
                      decoder_->Logits(sampler_.sample_rows(), std::ssize(samples_)));
  return answers() ? sampler_.Sample(logits) : absl::OkStatus();
}

absl::Status RankEngine::Answer(const GroupStep& step, ExecutedStep& executed) {
  std::vector<model::SequenceResult>& answers = executed.result.sequences;
  answers.resize(step.sequences.size());
  for (size_t i = 0; i < answers.size(); ++i) {
    answers[i].sequence = step.sequences[i].sequence;
    answers[i].refused = step.sequences[i].refused;
  }
  size_t score = 0;
  for (size_t c = 0; c < batch_.chunks.size(); ++c) {
    const Batch::Chunk& chunk = batch_.chunks[c];
    const auto index = static_cast<size_t>(chunk.index);
    const StepSequence& sequence = step.sequences[index];
    model::SequenceResult& answer = answers[index];
    const size_t first_score = score;
    for (; score < static_cast<size_t>(score_end_of_chunk_[c]); ++score) {
      if (const TokenId token = sampler_.NonFiniteOfScore(score); token >= 0 && !answer.non_finite) {
        // Score i is of the chunk's token i: a chunk without a next token has no score after its last one.
        DR_RETURN_IF_ERROR(ReportNonFinite(sequence, chunk, static_cast<int32_t>(score - first_score), token,
                                           step.step, answer));
      }
      if (!answer.non_finite) answer.prompt_logprobs.push_back(sampler_.ScoreOf(score));
    }
    if (sample_of_chunk_[c] >= 0 && !answer.non_finite) {
      DR_RETURN_IF_ERROR(
          AnswerDraws(sequence, chunk, static_cast<size_t>(sample_of_chunk_[c]), step.step, answer));
    }
  }
  auto outcomes = executed.outcomes.tokens.begin();
  for (size_t i = 0; i < answers.size(); ++i) {
    std::copy(answers[i].tokens.begin(), answers[i].tokens.end(), outcomes);
    if (answers[i].non_finite) *outcomes = kNotFinite;
    outcomes += step.sequences[i].outcomes();
  }
  return absl::OkStatus();
}

absl::Status RankEngine::AnswerDraws(const StepSequence& sequence, const Batch::Chunk& chunk, size_t sample,
                                     StepId step, model::SequenceResult& answer) {
  for (int32_t draw = 0; draw < sequence.draws(); ++draw, ++sample) {
    const int32_t rows = sequence.RowsBefore(draw);
    if (const TokenId token = sampler_.NonFiniteOf(sample); token >= 0) {
      // After a draft: the next step computes this row again as its first one, and reports it.
      return draw > 0 ? absl::OkStatus() : ReportNonFinite(sequence, chunk, rows - 1, token, step, answer);
    }
    const TokenId token = sampler_.TokenOf(sample);
    answer.tokens.push_back(token);
    if (sequence.sampling->top_logprobs >= 0) answer.logprobs.push_back(sampler_.LogprobsOf(sample));
    const int32_t size = sequence.num_computed + rows + 1;
    if (model::EndAfter(*sequence.end, sequence.prompt_size, size, token) != model::SequenceEnd::kNone) break;
    if (draw < sequence.drafts && sequence.token_ids[static_cast<size_t>(rows)] != token) break;
  }
  return absl::OkStatus();
}

absl::Status RankEngine::ReportNonFinite(const StepSequence& sequence, const Batch::Chunk& chunk, int32_t i,
                                         TokenId token, StepId step, model::SequenceResult& answer) {
  model::NonFiniteRow row = {.position = sequence.num_computed + i, .token = token, .rank = options_.rank};
  const int64_t page = sequence.block_table[static_cast<size_t>(row.position / kPageTokens)];
  DR_RETURN_IF_ERROR(FindFaultPlace(*device_, spec_, parts_.cache,
                                    RowsOf(parts_.workspace.residual, chunk.RowOf(i), 1),
                                    page * kPageTokens + row.position % kPageTokens, row));
  spdlog::error("step {}, sequence {}: {}", step, sequence.sequence, model::Describe(row));
  answer.prompt_logprobs.clear();
  answer.non_finite = row;
  return absl::OkStatus();
}

absl::Status RankEngine::ShowLogits() {
  const int64_t vocab = spec_.config.vocab_size;
  const bool copies = !device_->shares_host_memory();
  if (copies) shown_logits_.resize(samples_.size() * static_cast<size_t>(vocab));
  std::vector<SampledLogits> sampled;
  for (size_t i = 0; i < batch_.chunks.size(); ++i) {
    if (sample_of_chunk_[i] < 0) continue;
    const auto sample = static_cast<size_t>(sample_of_chunk_[i]);
    const float* row = parts_.workspace.logits.row<float>(sampler_.RowOf(sample));
    if (copies) {
      float* const shown = shown_logits_.data() + sample * static_cast<size_t>(vocab);
      DR_RETURN_IF_ERROR(device_->CopyOut(shown, row, vocab * static_cast<int64_t>(sizeof(float))));
      row = shown;
    }
    sampled.push_back(
        {.sequence_index = batch_.chunks[i].index, .logits = {row, static_cast<size_t>(vocab)}});
  }
  if (copies) DR_RETURN_IF_ERROR(device_->Synchronize());
  observer_->OnStep(sampled);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const EngineOptions& options, Communicator* world,
                                                       const Progress& progress, LogitsObserver* observer) {
  // Prepare, which needs a device, refuses a wrong number of threads.
  return Create(options, MakeCpuDevice(std::max(options.threads, 1)), world, progress, observer);
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const EngineOptions& options,
                                                       std::shared_ptr<Device> device, Communicator* world,
                                                       const Progress& progress, LogitsObserver* observer) {
  DR_RETURN_IF_ERROR(CheckWorld(options.layout, world));
  const absl::StatusOr<Preparation> preparation = Prepare(options, *device);
  DR_ASSIGN_OR_RETURN(
      const int64_t blocks,
      AgreeToLoad(preparation.status(), preparation.ok() ? preparation->needs : RankNeeds{}, world, *device));
  DR_ASSIGN_OR_RETURN(EngineParts parts, MakeParts(*preparation, blocks, *device, world, progress));
  if (device->shares_host_memory()) LogHugePages(MemoryOf(parts));
  return std::make_unique<RankEngine>(*preparation, std::move(device), world, std::move(parts), observer);
}

}  // namespace deeprack::worker
