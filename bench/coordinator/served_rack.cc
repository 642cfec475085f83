#include "bench/coordinator/served_rack.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <utility>

#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/responses/response_store.h"
#include "model/files/model_files.h"

namespace deeprack::bench {
namespace {

using coordinator::ServedModel;

// What every sequence says: reasoning, then content.
constexpr char kOneLine[] = " one word and then another one";
constexpr char kReasoning[] =
    "The user has sent the same word many times. I should say something about it, and ask what is meant.\n";
constexpr char kContent[] =
    "\n\nThe text that you have sent has one word, \"word\", again and again. Does the number of words "
    "matter, "
    "or their order? In either case I can count them: 1, 2, 3, and so on. Characters beyond ASCII, such as "
    "\u00e9, \u4e16\u754c and \U0001f600, take several bytes.\n";

absl::StatusOr<std::vector<TokenId>> Script(const ServedModel& model, bool event_for_each_token) {
  if (event_for_each_token) return model.tokenizer->Encode(kOneLine, /*allow_special=*/false);
  DR_ASSIGN_OR_RETURN(std::vector<TokenId> script, model.tokenizer->Encode(kReasoning, false));
  if (const auto end = model.tokenizer->TokenToId("</think>")) script.push_back(*end);
  DR_ASSIGN_OR_RETURN(const std::vector<TokenId> content, model.tokenizer->Encode(kContent, false));
  script.insert(script.end(), content.begin(), content.end());
  return script;
}

absl::Duration Of(const timeval& time) { return absl::DurationFromTimeval(time); }

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServedRack>> ServedRack::Start(const RackOptions& options) {
  DR_ASSIGN_OR_RETURN(const model::ModelConfig config, model::LoadModelConfig(options.model));
  DR_ASSIGN_OR_RETURN(
      std::shared_ptr<ServedModel> model,
      coordinator::LoadServedModel({.path = options.model, .max_context = options.max_context}, config));
  DR_ASSIGN_OR_RETURN(std::vector<TokenId> script, Script(*model, options.event_for_each_token));
  std::unique_ptr<ServedRack> rack(new ServedRack(std::move(model), std::move(script), options));
  const coordinator::RouterOptions routing{.max_body_bytes = options.http.max_body_bytes};
  DR_ASSIGN_OR_RETURN(rack->server_, coordinator::HttpServer::Start(
                                         options.http, MakeRouter(&rack->context_, routing),
                                         coordinator::HttpErrorBody, MakeKeyGate(&rack->context_, routing)));
  return rack;
}

ServedRack::ServedRack(std::shared_ptr<ServedModel> model, std::vector<TokenId> script,
                       const RackOptions& options)
    : context_(std::move(model),
               std::make_shared<coordinator::ResponseStore>(coordinator::ResponseStoreLimits{}, &clock_),
               &clock_),
      ranks_(options.cost, std::move(script)),
      loop_(coordinator::StepLoop::Start(
          {.prefill_tokens_beside_decodes = options.prefill_tokens_beside_decodes,
           .max_sequences = options.max_sequences,
           .max_waiting = options.max_waiting,
           .max_context = context_.model().max_context,
           .dp = options.dp,
           .blocks_per_dp_rank = options.blocks_per_dp_rank},
          /*epoch=*/1, &ranks_, &clock_)) {
  context_.SetLoop(loop_.get());
  context_.readiness().SetReady();
}

ServedRack::~ServedRack() {
  loop_->Fail(absl::CancelledError("the benchmark has ended"));
  if (server_) server_->Stop(absl::Seconds(2));
  loop_.reset();
}

CoordinatorUse UseOfProcess() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return {.at = absl::Now(),
          .processor = Of(usage.ru_utime) + Of(usage.ru_stime),
          .in_kernel = Of(usage.ru_stime),
          .resident_bytes = ResidentBytes()};
}

CoordinatorUse ServedRack::Use() const {
  CoordinatorUse use = UseOfProcess();
  use.tokens = loop_->Stats().generation_tokens;
  use.processor -= ranks_.processor_time();
  return use;
}

}  // namespace deeprack::bench
