#include "tests/parity/serve_golden.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/checked.h"
#include "tests/unit/engine/logits_recorder.h"
#include "tests/unit/engine/written_step.h"

namespace deeprack::parity {
namespace {

using worker::Engine;
using worker::testing::GroupStepOf;
using worker::testing::WrittenSequence;
using worker::testing::WrittenStep;

constexpr Epoch kEpoch = 3;
constexpr int32_t kPromptLogprobs = 5;

// Where the chunks of prompt number `index` end.
std::vector<int32_t> ChunkEnds(size_t index, int32_t length, Chunking chunking) {
  std::vector<int32_t> ends;
  if (chunking == Chunking::kOneByOne) {
    for (int32_t end = 1; end <= length; ++end) ends.push_back(end);
  } else if (index % 3 == 0) {
    ends = {length};
  } else if (index % 3 == 1) {
    ends = {length / 3, length / 3 + 7, length};
  } else {
    ends = {length - 1, length};
  }
  std::erase_if(ends, [&](int32_t end) { return end < 1 || end > length; });
  return ends;
}

double LogSumExp(const std::vector<float>& logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

double LargestMagnitude(const std::vector<float>& logits) {
  double largest = 0;
  for (float logit : logits) largest = std::max(largest, std::abs(static_cast<double>(logit)));
  return largest;
}

class Server {
 public:
  Server(const Golden& golden, const worker::EngineOptions& options, Chunking chunking, int greedy_tokens)
      : golden_(golden),
        bf16_(options.compute == DType::kBF16),
        tolerances_(bf16_ ? kBF16Tolerances : kF32Tolerances),
        greedy_tokens_(greedy_tokens),
        dp_(options.layout.dp),
        dp_rank_(model::CoordinatesOf(options.layout, options.rank).dp_rank) {
    BlockId next_block = 1;
    for (size_t i = 0; i < golden.prompts.size(); ++i) {
      const GoldenPrompt& prompt = golden.prompts[i];
      Sequence sequence;
      sequence.dp_rank = static_cast<int32_t>(i) % options.layout.dp;
      sequence.first_step = chunking == Chunking::kMixed ? static_cast<int>(i) : 0;
      sequence.chunk_ends = ChunkEnds(i, static_cast<int32_t>(prompt.tokens.size()), chunking);
      sequence.tokens = prompt.tokens;
      sequence.tokens.insert(sequence.tokens.end(), Greedy(prompt).begin(), Greedy(prompt).end());
      // Pages in descending order, so that a page's number is not its place.
      const int64_t pages = CeilDiv(static_cast<int64_t>(sequence.tokens.size()), kPageTokens);
      for (int64_t page = 0; page < pages; ++page)
        sequence.blocks.insert(sequence.blocks.begin(), next_block++);
      sequences_.push_back(std::move(sequence));
    }
  }

  // `logits` observes the engine.
  RankReport Serve(Engine& engine, const worker::testing::LogitsRecorder& logits) {
    for (int step = 0; !Done(); ++step) {
      const WrittenStep plan = Plan(step);
      const auto executed = engine.Execute(GroupStepOf(plan, dp_, dp_rank_));
      if (!executed.ok()) {
        Fail(absl::StrCat("step ", step, ": ", std::string(executed.status().message())));
        break;
      }
      int64_t own = 0;  // index in the step of this rank's dp group
      for (const WrittenSequence& planned : plan.sequences) {
        if (planned.dp_rank == dp_rank_) CheckLogits(logits, planned, own++);
      }
      for (const model::SequenceResult& answer : executed->result.sequences) {
        for (const WrittenSequence& planned : plan.sequences) {
          if (planned.sequence == answer.sequence) CheckAnswer(planned, answer);
        }
      }
      Advance(plan);
    }
    return std::move(report_);
  }

 private:
  struct Sequence {
    int32_t dp_rank = 0;
    int first_step = 0;
    std::vector<int32_t> chunk_ends;
    std::vector<TokenId> tokens;  // the prompt, then what follows it
    std::vector<BlockId> blocks;
    int32_t computed = 0;
  };

  const std::vector<TokenId>& Greedy(const GoldenPrompt& prompt) const {
    return bf16_ ? prompt.bf16_greedy : prompt.greedy;
  }

  int32_t PromptLength(size_t index) const {
    return static_cast<int32_t>(golden_.prompts[index].tokens.size());
  }

  // The last token that is fed is the one before the last that is checked.
  int32_t End(size_t index) const { return PromptLength(index) + greedy_tokens_ - 1; }

  bool Done() const {
    for (size_t i = 0; i < sequences_.size(); ++i) {
      if (sequences_[i].computed < End(i)) return false;
    }
    return true;
  }

  WrittenStep Plan(int step) const {
    WrittenStep plan = {.epoch = kEpoch, .step = static_cast<StepId>(step)};
    for (size_t i = 0; i < sequences_.size(); ++i) {
      const Sequence& sequence = sequences_[i];
      if (step < sequence.first_step || sequence.computed >= End(i)) continue;
      const auto& ends = sequence.chunk_ends;
      const auto next = std::upper_bound(ends.begin(), ends.end(), sequence.computed);
      const int32_t end = next != ends.end() ? *next : sequence.computed + 1;

      WrittenSequence chunk;
      chunk.sequence = i + 1;
      chunk.dp_rank = sequence.dp_rank;
      chunk.prompt_size = PromptLength(i);
      chunk.num_computed = sequence.computed;
      chunk.token_ids.assign(sequence.tokens.begin() + sequence.computed, sequence.tokens.begin() + end);
      chunk.block_table = sequence.blocks;
      chunk.sample = true;
      chunk.sampling.temperature = 0;
      if (next != ends.end()) {
        chunk.prompt_logprobs = kPromptLogprobs;
        chunk.next_prompt_token = end < PromptLength(i) ? sequence.tokens[static_cast<size_t>(end)] : -1;
      }
      plan.sequences.push_back(std::move(chunk));
    }
    return plan;
  }

  void Advance(const WrittenStep& plan) {
    for (const WrittenSequence& chunk : plan.sequences) {
      sequences_[chunk.sequence - 1].computed += static_cast<int32_t>(chunk.token_ids.size());
    }
  }

  void CheckLogits(const worker::testing::LogitsRecorder& recorder, const WrittenSequence& chunk,
                   int64_t place) {
    const float* logits = recorder.Of(place);
    if (logits == nullptr) return;
    const size_t index = chunk.sequence - 1;
    const int32_t position = chunk.num_computed + static_cast<int32_t>(chunk.token_ids.size()) - 1;
    if (position >= PromptLength(index)) return;
    const GoldenPrompt& prompt = golden_.prompts[index];
    CheckDifference(RelativeDifference(logits, prompt.logits[static_cast<size_t>(position)]),
                    tolerances_.logits, absl::StrCat("logits of prompt ", index, " position ", position));
    ++report_.positions;
    if (bf16_ && position + 1 == PromptLength(index)) {
      CheckDifference(RelativeDifference(logits, prompt.bf16_logits), tolerances_.bf16_logits,
                      absl::StrCat("logits of prompt ", index, " against the golden's bf16"));
    }
  }

  void CheckAnswer(const WrittenSequence& chunk, const model::SequenceResult& answer) {
    const size_t index = chunk.sequence - 1;
    const GoldenPrompt& prompt = golden_.prompts[index];
    const int32_t end = chunk.num_computed + static_cast<int32_t>(chunk.token_ids.size());
    CheckPromptLogprobs(chunk, answer);
    if (end < PromptLength(index)) return;
    const size_t place = static_cast<size_t>(end - PromptLength(index));
    if (bf16_ && prompt.bf16_clear[place] == 0) return;
    ++report_.tokens;
    const TokenId expected = Greedy(prompt)[place];
    if (answer.tokens != std::vector<TokenId>{expected}) {
      Fail(absl::StrCat("prompt ", index, " token ", place, " after it: ", absl::StrJoin(answer.tokens, " "),
                        ", expected ", expected));
    }
  }

  // A log-probability is a logit less the logarithm of a sum: twice the logits' tolerance.
  void CheckPromptLogprobs(const WrittenSequence& chunk, const model::SequenceResult& answer) {
    if (chunk.prompt_logprobs < 0) return;
    const size_t index = chunk.sequence - 1;
    const size_t expected = chunk.token_ids.size() - (chunk.next_prompt_token < 0 ? 1 : 0);
    if (answer.prompt_logprobs.size() != expected) {
      Fail(absl::StrCat("prompt ", index, ": ", answer.prompt_logprobs.size(), " prompt_logprobs, expected ",
                        expected));
      return;
    }
    for (size_t i = 0; i < expected; ++i) {
      const size_t position = static_cast<size_t>(chunk.num_computed) + i;
      const std::vector<float>& logits = golden_.prompts[index].logits[position];
      const double normalizer = LogSumExp(logits);
      const auto check = [&](const model::TokenLogprob& given) {
        const double difference =
            std::abs(given.logprob - (logits[static_cast<size_t>(given.token)] - normalizer));
        CheckDifference(difference / LargestMagnitude(logits), 2 * tolerances_.logits,
                        absl::StrCat("log-probability of prompt ", index, " position ", position));
      };
      const model::PositionLogprobs& here = answer.prompt_logprobs[i];
      if (here.chosen.token != golden_.prompts[index].tokens[position + 1] ||
          here.top.size() != static_cast<size_t>(kPromptLogprobs)) {
        Fail(absl::StrCat("prompt ", index, " position ", position, ": log-probability of token ",
                          here.chosen.token, " with ", here.top.size(), " others"));
      }
      check(here.chosen);
      for (const model::TokenLogprob& top : here.top) check(top);
    }
  }

  void CheckDifference(double difference, double tolerance, const std::string& what) {
    report_.worst = std::max(report_.worst, difference);
    if (!(difference <= tolerance))
      Fail(absl::StrCat(what, ": off by ", difference, ", allowed ", tolerance));
  }

  void Fail(std::string what) { report_.failures.push_back(std::move(what)); }

  const Golden& golden_;
  const bool bf16_;
  const Tolerances tolerances_;
  const int greedy_tokens_;
  const int32_t dp_, dp_rank_;
  std::vector<Sequence> sequences_;
  RankReport report_;
};

}  // namespace

double RelativeDifference(const float* actual, const std::vector<float>& golden) {
  double difference = 0;
  for (size_t i = 0; i < golden.size(); ++i) {
    const double here = std::abs(static_cast<double>(actual[i]) - golden[i]);
    if (!std::isfinite(here)) return INFINITY;
    difference = std::max(difference, here);
  }
  return difference / LargestMagnitude(golden);
}

RankReport ExpectedCounts(const Golden& golden, DType compute, Chunking chunking, int greedy_tokens) {
  RankReport expected;
  for (size_t i = 0; i < golden.prompts.size(); ++i) {
    const GoldenPrompt& prompt = golden.prompts[i];
    expected.positions +=
        static_cast<int64_t>(ChunkEnds(i, static_cast<int32_t>(prompt.tokens.size()), chunking).size());
    for (int token = 0; token < greedy_tokens; ++token) {
      expected.tokens += compute == DType::kF32 || prompt.bf16_clear[static_cast<size_t>(token)] != 0;
    }
  }
  return expected;
}

RankReport ServeGolden(const Golden& golden, const worker::EngineOptions& options, Chunking chunking,
                       int greedy_tokens, worker::Communicator* world) {
  worker::testing::LogitsRecorder logits;
  const auto engine = Engine::Create(options, world, {}, &logits);
  if (!engine.ok()) {
    RankReport report;
    report.failures.push_back(absl::StrCat("Engine::Create: ", std::string(engine.status().message())));
    return report;
  }
  return Server(golden, options, chunking, greedy_tokens).Serve(**engine, logits);
}

worker::EngineOptions GoldenOptions(const Golden& golden, const model::Layout& layout, DType compute,
                                    model::ExpertExchange exchange, model::PrefillAttention prefill) {
  worker::EngineOptions options;
  options.model_path = golden.folder;
  options.layout = layout;
  options.epoch = kEpoch;
  options.compute = compute;
  options.expert_exchange = exchange;
  options.prefill_attention = prefill;
  options.kv_bytes = 4 << 20;
  options.max_step_tokens = 320;
  options.max_sequences = 8;
  options.threads = 1;
  return options;
}

}  // namespace deeprack::parity
