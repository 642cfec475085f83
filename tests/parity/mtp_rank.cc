#include "tests/parity/mtp_rank.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/status_macros.h"
#include "tests/parity/ranks_as_threads.h"
#include "tests/parity/serve_golden.h"
#include "worker/decoder/drafts.h"
#include "worker/device/cpu_device.h"
#include "worker/engine/engine_parts.h"

namespace deeprack::parity {
namespace {

using worker::Batch;
using worker::DraftRequest;

constexpr int32_t kMostDrafts = 3;

// The rows of one prompt in a step: positions [begin, end).
struct Chunk {
  size_t prompt = 0;
  int32_t begin = 0;
  int32_t end = 0;
  std::vector<BlockId> blocks;
  std::vector<int32_t> row_of;  // by position - begin: the batch row
};

// A batch in the host's memory, for kernels that make no plans.
struct HostBatch {
  Batch batch;
  std::vector<Chunk> chunks;  // of the rank's dp group
  std::vector<TokenId> tokens, next_tokens;
  std::vector<int32_t> positions;
  std::vector<int64_t> slots;
  std::vector<kernels::AttentionSequence> sequences, expanded;
  int32_t row_count = 0;
};

// One rank's decoder, and two steps of a golden's prompts: every second prompt is in both, all with positions
// of the prompt and after it.
class MtpRank {
 public:
  MtpRank(const Golden& golden, const std::vector<MtpGoldenPrompt>& prompts,
          const worker::EngineOptions& options, worker::Communicator* world, const MtpComparison& comparison)
      : golden_(golden),
        prompts_(prompts),
        options_(options),
        world_(world),
        device_(worker::MakeCpuDevice(1)),
        comparison_(comparison) {}

  MtpReport Run() {
    if (const absl::Status status = TryRun(); !status.ok()) {
      report_.failures.emplace_back(status.message());
    }
    return std::move(report_);
  }

 private:
  absl::Status TryRun() {
    DR_ASSIGN_OR_RETURN(preparation_, worker::Prepare(options_, *device_));
    DR_ASSIGN_OR_RETURN(const int64_t blocks,
                        worker::AgreeToLoad(absl::OkStatus(), preparation_.needs, world_, *device_));
    DR_ASSIGN_OR_RETURN(worker::EngineParts parts,
                        worker::MakeParts(preparation_, blocks, *device_, world_, {}));
    const sizing::RankSpec& spec = preparation_.spec;
    kernels::Execution execution = device_->execution();
    execution.scratch = parts.scratch;
    worker::Decoder decoder({.config = &spec.config,
                             .layout = spec.layout,
                             .rank = spec.rank,
                             .expert_exchange = spec.expert_exchange,
                             .compute = spec.compute,
                             .expanded = preparation_.planner.expanded(),
                             .weights = &parts.weights.weights,
                             .cache = &parts.cache,
                             .workspace = parts.workspace,
                             .seams = parts.seams.get(),
                             .kernels = &device_->kernels(),
                             .execution = execution});
    for (const bool last : {false, true}) {
      HostBatch host;
      FillHostBatch(last, host);
      DR_RETURN_IF_ERROR(decoder.Forward(host.batch));
      if (!spec.is_last_stage()) continue;
      DR_RETURN_IF_ERROR(decoder.ForwardMtp(host.batch, host.next_tokens.data()));
      DR_RETURN_IF_ERROR(CheckRows(host, decoder));
      if (!last) continue;
      worker::Drafter drafter(spec, decoder, preparation_.planner, *device_, parts.step.draft_inputs,
                              parts.step.draft_results);
      for (int32_t drafts = 1; drafts <= kMostDrafts; ++drafts) {
        DR_RETURN_IF_ERROR(Draft(host, std::vector<int32_t>(prompts_.size(), drafts), drafter));
        CheckDraftLogits(host, parts.workspace.logits, drafter, drafts);
      }
      std::vector<int32_t> mixed;
      for (size_t i = 0; i < prompts_.size(); ++i) {
        mixed.push_back(1 + static_cast<int32_t>(i + 1) % kMostDrafts);
      }
      DR_RETURN_IF_ERROR(Draft(host, mixed, drafter));
    }
    return absl::OkStatus();
  }

  // The last token of a prompt's golden is only read as a next token.
  int32_t RowsOf(size_t prompt) const { return static_cast<int32_t>(prompts_[prompt].tokens.size()) - 1; }
  int32_t FirstChunk(size_t prompt) const { return prompt % 2 == 0 ? 0 : RowsOf(prompt) / 2; }
  int32_t DpRankOf(size_t prompt) const { return static_cast<int32_t>(prompt) % options_.layout.dp; }

  // The chunks of all dp groups in a step.
  std::vector<Chunk> ChunksOf(bool last) const {
    std::vector<Chunk> chunks;
    BlockId next_block = 0;
    for (size_t i = 0; i < prompts_.size(); ++i) {
      Chunk chunk = {.prompt = i, .begin = last ? FirstChunk(i) : 0, .end = last ? RowsOf(i) : FirstChunk(i)};
      // Pages in descending order, so that a page's number is not its place.
      for (int64_t page = 0; page < CeilDiv(RowsOf(i) + kMostDrafts, kPageTokens); ++page) {
        chunk.blocks.insert(chunk.blocks.begin(), next_block++);
      }
      if (chunk.end > chunk.begin) chunks.push_back(std::move(chunk));
    }
    return chunks;
  }

  // The absorbed rows come first, then the expanded rows, each sequence by sequence.
  void FillHostBatch(bool last, HostBatch& host) const {
    Batch& batch = host.batch;
    batch.rows_of_group.assign(static_cast<size_t>(options_.layout.dp), 0);
    for (Chunk& chunk : ChunksOf(last)) {
      batch.rows_of_group[static_cast<size_t>(DpRankOf(chunk.prompt))] += chunk.end - chunk.begin;
      if (DpRankOf(chunk.prompt) == preparation_.spec.coordinates().dp_rank) {
        host.chunks.push_back(std::move(chunk));
      }
    }
    const bool expands = preparation_.planner.expanded().heads > 0;
    for (const bool expanded : {false, true}) {
      const auto first_row = static_cast<int32_t>(expanded ? host.tokens.size() : 0);
      for (Chunk& chunk : host.chunks) {
        const std::vector<TokenId>& tokens = prompts_[chunk.prompt].tokens;
        const auto prompt_size = static_cast<int32_t>(golden_.prompts[chunk.prompt].tokens.size());
        chunk.row_of.resize(static_cast<size_t>(chunk.end - chunk.begin));
        const int32_t split = std::clamp(expands ? prompt_size : 0, chunk.begin, chunk.end);
        const int32_t begin = expanded ? chunk.begin : split, end = expanded ? split : chunk.end;
        if (begin == end) continue;
        (expanded ? host.expanded : host.sequences)
            .push_back({.first_row = static_cast<int32_t>(host.tokens.size()) - first_row,
                        .rows = end - begin,
                        .first_position = begin,
                        .block_table = chunk.blocks.data()});
        for (int32_t position = begin; position < end; ++position) {
          chunk.row_of[static_cast<size_t>(position - chunk.begin)] =
              static_cast<int32_t>(host.tokens.size());
          const int64_t page = chunk.blocks[static_cast<size_t>(position / kPageTokens)];
          host.tokens.push_back(tokens[static_cast<size_t>(position)]);
          host.next_tokens.push_back(tokens[static_cast<size_t>(position) + 1]);
          host.positions.push_back(position);
          host.slots.push_back(page * kPageTokens + position % kPageTokens);
        }
      }
      if (!expanded) batch.absorbed_rows = std::ssize(host.tokens);
    }
    batch.rows = std::ssize(host.tokens);
    batch.expanded_rows = batch.rows - batch.absorbed_rows;
    host.row_count = static_cast<int32_t>(batch.rows);
    batch.token_ids = host.tokens.data();
    batch.positions = host.positions.data();
    batch.slots = host.slots.data();
    batch.sequences = batch.host_sequences = host.sequences.data();
    batch.num_sequences = std::ssize(host.sequences);
    batch.expanded_sequences = batch.host_expanded = host.expanded.data();
    batch.num_expanded = std::ssize(host.expanded);
    batch.row_count = &host.row_count;
    batch.attention_shape =
        preparation_.planner.ShapeOf(batch.absorbed_rows, batch.num_sequences, batch.rows);
    DR_CHECK(preparation_.planner.BytesOf(batch.attention_shape) == 0 &&
             preparation_.planner.ExpandedBytes(batch.num_expanded) == 0);
  }

  bool compares() const { return preparation_.spec.coordinates().tp_rank == 0; }
  bool keeps() const { return compares() && comparison_.computed != nullptr; }

  // Copies row `row` of `logits` to entry `index` of a field of the prompt's computed results.
  void Keep(const kernels::Matrix& logits, int64_t row, size_t prompt,
            std::vector<std::vector<float>> MtpGoldenPrompt::*field, size_t index) const {
    if (!keeps()) return;
    const float* begin = logits.row<float>(row);
    ((*comparison_.computed)[prompt].*field)[index].assign(begin,
                                                           begin + preparation_.spec.config.vocab_size);
  }

  absl::Status CheckRows(const HostBatch& host, worker::Decoder& decoder) {
    for (const Chunk& chunk : host.chunks) {
      for (int32_t position = chunk.begin; position < chunk.end; ++position) {
        const int32_t row = chunk.row_of[static_cast<size_t>(position - chunk.begin)];
        DR_ASSIGN_OR_RETURN(const kernels::Matrix logits, decoder.MtpLogits(&row, 1));
        const MtpGoldenPrompt& prompt = prompts_[chunk.prompt];
        const auto index = static_cast<size_t>(position);
        Keep(logits, 0, chunk.prompt, &MtpGoldenPrompt::logits, index);
        if (!compares() || prompt.clear[index] < comparison_.level) continue;
        Compare(logits.row<float>(0), prompt.logits[index],
                absl::StrCat("prompt ", chunk.prompt, " position ", position));
      }
    }
    return absl::OkStatus();
  }

  // Requests drafts[i] drafts for prompt i, and checks their tokens. Request r is of host.chunks[r].
  absl::Status Draft(const HostBatch& host, const std::vector<int32_t>& drafts, worker::Drafter& drafter) {
    std::vector<std::vector<int64_t>> of_group(static_cast<size_t>(std::ranges::max(drafts)),
                                               std::vector<int64_t>(static_cast<size_t>(options_.layout.dp)));
    for (size_t i = 0; i < prompts_.size(); ++i) {
      for (int32_t d = 0; d < drafts[i]; ++d) {
        ++of_group[static_cast<size_t>(d)][static_cast<size_t>(DpRankOf(i))];
      }
    }
    std::vector<DraftRequest> requests;
    for (const Chunk& chunk : host.chunks) {
      requests.push_back({.batch_row = chunk.row_of.back(),
                          .position = chunk.end - 1,
                          .drafts = drafts[chunk.prompt],
                          .blocks = chunk.blocks,
                          .draw = {.temperature = 0}});
    }
    drafter.Plan(requests, of_group, host.next_tokens);
    DR_RETURN_IF_ERROR(drafter.Run(host.batch));
    DR_RETURN_IF_ERROR(drafter.Fetch());
    DR_RETURN_IF_ERROR(device_->Synchronize());
    for (size_t r = 0; r < requests.size(); ++r) {
      const MtpGoldenPrompt& prompt = prompts_[host.chunks[r].prompt];
      for (int32_t d = 0; d < requests[r].drafts; ++d) {
        const auto draft = static_cast<size_t>(d);
        if (keeps()) (*comparison_.computed)[host.chunks[r].prompt].drafts[draft] = drafter.TokenOf(r, d);
        if (!compares() || prompt.drafts_clear[draft] < comparison_.level) continue;
        ++report_.drafts;
        if (drafter.TokenOf(r, d) == prompt.drafts[draft]) continue;
        report_.failures.push_back(absl::StrCat("prompt ", host.chunks[r].prompt, " draft ", d, " is ",
                                                drafter.TokenOf(r, d), ", expected ", prompt.drafts[draft]));
      }
    }
    return absl::OkStatus();
  }

  // After Draft with an equal number of drafts for all prompts: `logits` are those of the last.
  void CheckDraftLogits(const HostBatch& host, const kernels::Matrix& logits, const worker::Drafter& drafter,
                        int32_t drafts) {
    const auto last = static_cast<size_t>(drafts) - 1;
    for (size_t r = 0; r < host.chunks.size(); ++r) {
      const MtpGoldenPrompt& prompt = prompts_[host.chunks[r].prompt];
      Keep(logits, drafter.SlotOf(r), host.chunks[r].prompt, &MtpGoldenPrompt::draft_logits, last);
      if (!compares() || prompt.draft_clear[last] < comparison_.level) continue;
      Compare(logits.row<float>(drafter.SlotOf(r)), prompt.draft_logits[last],
              absl::StrCat("prompt ", host.chunks[r].prompt, " draft ", last));
    }
  }

  void Compare(const float* actual, const std::vector<float>& golden, const std::string& what) {
    ++report_.rows;
    const double difference = RelativeDifference(actual, golden);
    report_.worst = std::max(report_.worst, difference);
    if (difference <= comparison_.tolerance) return;
    report_.failures.push_back(
        absl::StrCat("logits of ", what, ": off by ", difference, ", allowed ", comparison_.tolerance));
  }

  const Golden& golden_;
  const std::vector<MtpGoldenPrompt>& prompts_;
  const worker::EngineOptions options_;
  worker::Communicator* const world_;
  const std::shared_ptr<worker::Device> device_;
  const MtpComparison comparison_;
  worker::Preparation preparation_;
  MtpReport report_;
};

}  // namespace

MtpComparison GoldenComparison(DType compute) {
  if (compute == DType::kBF16) return {.level = 2, .tolerance = kBF16Tolerances.logits};
  return {.level = 1, .tolerance = kF32Tolerances.logits};
}

MtpGoldenPrompt UncheckedPrompt(std::vector<TokenId> tokens) {
  const size_t rows = tokens.size() - 1;
  MtpGoldenPrompt prompt;
  prompt.tokens = std::move(tokens);
  prompt.logits.resize(rows);
  prompt.clear.resize(rows);
  prompt.draft_logits.resize(kMostDrafts);
  prompt.draft_clear.resize(kMostDrafts);
  prompt.drafts.resize(kMostDrafts);
  prompt.drafts_clear.resize(kMostDrafts);
  return prompt;
}

MtpReport RunMtp(const Golden& golden, const std::vector<MtpGoldenPrompt>& prompts,
                 const Placement& placement, DType compute, const MtpComparison& comparison) {
  const std::vector<MtpReport> reports = OnEveryRank<MtpReport>(
      golden, placement, compute, [&](worker::EngineOptions options, worker::Communicator* world) {
        options.speculative_tokens = kMostDrafts;
        return MtpRank(golden, prompts, options, world, comparison).Run();
      });
  MtpReport all;
  for (const MtpReport& report : reports) {
    all.rows += report.rows;
    all.drafts += report.drafts;
    all.worst = std::max(all.worst, report.worst);
    all.failures.insert(all.failures.end(), report.failures.begin(), report.failures.end());
  }
  return all;
}

MtpReport ExpectedOfMtp(const std::vector<MtpGoldenPrompt>& prompts, uint8_t level) {
  MtpReport expected;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const MtpGoldenPrompt& prompt = prompts[i];
    for (const uint8_t clear : prompt.clear) expected.rows += clear >= level;
    for (const uint8_t clear : prompt.draft_clear) expected.rows += clear >= level;
    const size_t mixed = 1 + (i + 1) % kMostDrafts;
    for (size_t d = 0; d < kMostDrafts; ++d) {
      const auto runs = static_cast<int64_t>(kMostDrafts - d + (d < mixed ? 1 : 0));
      if (prompt.drafts_clear[d] >= level) expected.drafts += runs;
    }
  }
  return expected;
}

}  // namespace deeprack::parity
