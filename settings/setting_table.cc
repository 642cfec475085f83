// The table: every setting, described once. docs/FLAGS.md is made from it. The rows about HTTP stand in
// http_settings.cc.
#include <iterator>

#include "model/step/sampling_check.h"
#include "settings/setting.h"
#include "settings/setting_rows.h"

namespace deeprack {
namespace {

constexpr double kMostRanks = 4096;  // in one dimension of the layout

Rows ModelRows() {
  constexpr absl::string_view kSection = "Model and layout";
  return {
      {.name = "model",
       .field = &Settings::model,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .needed_by = kCoordinator,
       .travels = true,
       .help = "The model: a Hugging Face folder or a GGUF file. On the command line it stands without a "
               "flag. `deeprack` takes the demo model when none is named."},
  };
}

Rows LayoutRows() {
  constexpr absl::string_view kSection = "Model and layout";
  const auto row = [&](absl::string_view name, int32_t Settings::*field, double low, absl::string_view help) {
    return Setting{.name = name,
                   .field = field,
                   .section = kSection,
                   .programs = kServe | kCoordinator,
                   .travels = true,
                   .always_said = true,
                   .low = low,
                   .high = kMostRanks,
                   .help = help};
  };
  return {
      row("tp", &Settings::tp, 1,
          "Tensor parallelism: the number of ranks that share the attention heads of a sequence."),
      row("dp", &Settings::dp, 1,
          "Data parallelism: the number of groups of tp ranks. A sequence belongs to one group."),
      row("ep", &Settings::ep, 0,
          "Expert parallelism: the number of groups among which the experts are divided. It divides tp * dp. "
          "0: tp * dp."),
      row("pp", &Settings::pp, 1,
          "Pipeline parallelism: the number of stages among which the layers are divided."),
      {.name = "layouts",
       .field = &Settings::layouts,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .travels = true,
       .help =
           "In place of --tp, --dp, --ep and --pp: the layouts that may be formed, the largest first. The "
           "largest that has its workers is formed: at once when it is the first, else after "
           "worker-timeout at the start and after recovery-timeout when ranks were lost. For workers that "
           "mpirun did not start."},
  };
}

Rows NumberFormatRows() {
  constexpr absl::string_view kSection = "Number formats and kernels";
  return {
      {.name = "compute",
       .field = &Settings::compute,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .travels = true,
       .always_said = true,
       .choices = {"bf16", "f32"},
       .help = "The type of activations."},
      {.name = "load-format",
       .field = &Settings::load_format,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .travels = true,
       .always_said = true,
       .choices = {std::begin(model::kLoadFormatNames), std::end(model::kLoadFormatNames)},
       .help = "auto: the model's weights. dummy: weights made up from config.json, to try a rack before the "
               "model's files are there. Answers are then noise."},
      {.name = "kv-cache-dtype",
       .field = &Settings::kv_cache_dtype,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .travels = true,
       .always_said = true,
       .choices = {std::begin(model::kKvCacheTypeNames), std::end(model::kKvCacheTypeNames)},
       .help = "The type of the KV cache. auto: the type of activations. fp8: a little more than half the "
               "memory of bf16."},
      {.name = "backend",
       .field = &Settings::backend,
       .section = kSection,
       .programs = kServe | kWorker,
       .choices = {"auto", "cpu", "cuda"},
       .help = "Where ranks compute. auto: on a card where the rank's machine has one, else on the CPU."},
      {.name = "expert-exchange",
       .field = &Settings::expert_exchange,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .travels = true,
       .always_said = true,
       .choices = {"replicated", "all_to_all"},
       .help =
           "How tokens reach their experts. replicated: every rank has all tokens. all_to_all: a token is "
           "sent to the ranks that hold its experts."},
      {.name = "prefill-attention",
       .field = &Settings::prefill_attention,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .travels = true,
       .always_said = true,
       .choices = {"absorbed", "expanded"},
       .help = "The form of latent attention for prompts. expanded: faster for long prompts. absorbed: the "
               "form that generated tokens have, so that cached pages of answers are found again."},
      {.name = "speculative-tokens",
       .field = &Settings::speculative_tokens,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .travels = true,
       .choices = {std::begin(model::kSpeculativeTokensNames), std::end(model::kSpeculativeTokensNames)},
       .help = "The most tokens that the model's MTP layer drafts for a sequence in a step. 0: the layer is not "
               "loaded. auto: up to 3, by load and by how many are accepted."},
      {.name = "decode-graphs",
       .field = &Settings::decode_graphs,
       .section = kSection,
       .programs = kServe | kWorker,
       .help = "Run decode steps from CUDA graphs. No card has proven this yet."},
      {.name = "unverified-kernels",
       .field = &Settings::unverified_kernels,
       .section = kSection,
       .programs = kServe | kWorker,
       .help = "For developers: use kernels made for the card that have not passed `make gpu-check` on one. "
               "Answers may be wrong."},
  };
}

Rows LimitRows() {
  constexpr absl::string_view kSection = "Limits and memory";
  return {
      {.name = "max-context",
       .field = &Settings::max_context,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .travels = true,
       .low = 0,
       .high = 1 << 30,
       .unit = "tokens",
       .help = "The most tokens of a sequence, prompt and answer together. 0: as many as the model allows."},
      {.name = "max-step-tokens",
       .field = &Settings::max_step_tokens,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .travels = true,
       .low = 1,
       .high = 1 << 20,
       .unit = "tokens",
       .help = "The most tokens that one dp group computes in a step. Longer prompts take several steps."},
      {.name = "prefill-tokens-beside-decodes",
       .field = &Settings::prefill_tokens_beside_decodes,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .low = 0,
       .high = 1 << 20,
       .unit = "tokens",
       .help = "The most tokens of prompts that one dp group computes in a step with decodes. 0: as many as make "
               "such a step 1.3 times as long as one of its decodes alone, by the times of the steps so far, and "
               "at least 64. With more than 128 times as many waiting, a part in 128 of them. Fewer: running "
               "answers slow down less while a prompt comes in. More: the prompt's answer begins sooner."},
      {.name = "max-sequences",
       .field = &Settings::max_sequences,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .travels = true,
       .low = 1,
       .high = 1 << 16,
       .unit = "sequences",
       .help = "The most sequences that run at once in one dp group."},
      {.name = "steps-under-way",
       .field = &Settings::steps_under_way,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .low = 1,
       .high = 2,
       .unit = "steps",
       .help = "Steps that the ranks are given before the first of them is answered. With 2 the ranks do not wait "
               "for the coordinator between steps. The tokens are the same."},
      {.name = "max-waiting",
       .field = &Settings::max_waiting,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .low = 1,
       .high = 1 << 20,
       .unit = "sequences",
       .help = "The most sequences in the queue. A request beyond this number is refused with status 429."},
      {.name = "scheduling-policy",
       .field = &Settings::scheduling_policy,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .choices = {"fcfs", "priority"},
       .help = "The order in which requests are served. fcfs: in the order of arrival; a request with a "
               "priority other than 0 is refused. priority: the smaller priority first, and requests of equal "
               "priority in the order of arrival."},
      {.name = "max-logprobs",
       .field = &Settings::max_logprobs,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .low = 1,
       .high = model::kMostTopLogprobs,
       .unit = "tokens",
       .help = "The most likely tokens whose log-probabilities a request may ask for at each position."},
      {.name = "reasoning-field",
       .field = &Settings::reasoning_field,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .choices = {"reasoning_content", "reasoning", "both"},
       .help =
           "The field of a chat's messages and deltas that has the reasoning: DeepSeek's name, vLLM's name, "
           "or both. Clients that read both names show the reasoning twice with both."},
      {.name = "kv-bytes",
       .field = &Settings::kv_bytes,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .travels = true,
       .unit = "bytes",
       .help = "The size of each rank's KV cache. 0: from the memory that is free on the rank's device."},
      {.name = "packed",
       .field = &Settings::packed,
       .section = kSection,
       .programs = kServe | kWorker,
       .help = "A folder of packed weights, the same path on every machine. A rank maps its file, or packs "
               "its weights into the folder for the next start. Without it: weights are packed in memory."},
      {.name = "packed-check",
       .field = &Settings::packed_check,
       .section = kSection,
       .programs = kServe | kWorker,
       .choices = {"header", "full"},
       .help = "What is checked of a packed file. header: its size and header. full: all of its data, too."},
  };
}

Rows ClusterRows() {
  constexpr absl::string_view kSection = "Machines of the cluster";
  return {
      {.name = "cluster-address",
       .field = &Settings::cluster_address,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .always_said = true,
       .help = "host:port where workers reach the coordinator. Port 0: any free port."},
      {.name = "coordinator",
       .field = &Settings::coordinator,
       .section = kSection,
       .programs = kWorker,
       .needed_by = kWorker,
       .help = "host:port where the coordinator listens for workers."},
      {.name = "listen",
       .field = &Settings::listen,
       .section = kSection,
       .programs = kWorker,
       .help =
           "host:port where this worker serves the coordinator. Port 0: any free port. Host 0.0.0.0: every "
           "interface. Without it: 127.0.0.1:0 when the coordinator is on loopback, else 0.0.0.0:0."},
      {.name = "cluster-tls",
       .field = &Settings::cluster_tls,
       .section = kSection,
       .programs = kAll,
       .help =
           "A folder of ca.crt, tls.crt and tls.key, the same path on every machine. It is needed as soon "
           "as an address of the cluster is not on loopback."},
      {.name = "workers",
       .field = &Settings::workers,
       .section = kSection,
       .programs = kServe,
       .choices = {"local", "external"},
       .help =
           "local: `serve` starts the ranks. external: `serve` waits for ranks that are started elsewhere."},
      {.name = "hosts",
       .field = &Settings::hosts,
       .section = kSection,
       .programs = kServe,
       .help =
           "The machines on which mpirun starts the ranks, and how many on each: node1:8,node2:8. Without "
           "it: this machine."},
      {.name = "worker-timeout",
       .field = &Settings::worker_timeout,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .low = 0.1,
       .high = kDay,
       .unit = "seconds",
       .help = "How long to wait at the start until all ranks have joined."},
      {.name = "recovery-timeout",
       .field = &Settings::recovery_timeout,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .low = 0,
       .high = kDay,
       .unit = "seconds",
       .help = "How long streams pause after the loss of a rank, until all ranks have joined again. 0: the "
               "loss of a rank ends serving."},
      {.name = "recovery-limit",
       .field = &Settings::recovery_limit,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .help = "How many recoveries in a row are tried: with one failure more, serving ends. Serving for this "
               "many minutes starts the count anew. 0/5: the first loss of a rank ends serving."},
      {.name = "collective-timeout",
       .field = &Settings::collective_timeout,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .travels = true,
       .low = 0.1,
       .high = kDay,
       .unit = "seconds",
       .help = "How long a rank waits for another rank in one exchange of data, before it reports the other "
               "rank as lost."},
      {.name = "load-progress-timeout",
       .field = &Settings::load_progress_timeout,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .low = 0.1,
       .high = kDay,
       .unit = "seconds",
       .help =
           "How long a rank may report no progress while it loads, before it is lost. Ranks that wait for "
           "another rank report none, so it must be longer than collective-timeout."},
      {.name = "slow-rank-timeout",
       .field = &Settings::slow_rank_timeout,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .low = 0,
       .high = kDay,
       .unit = "seconds",
       .help = "With --layouts: a rank that has made the others wait for this much time inside steps is "
               "drained, if a layout without its worker is faster. Streams pause and go on. 0: slow ranks "
               "stay."},
      {.name = "slow-rank-cooldown",
       .field = &Settings::slow_rank_cooldown,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .low = 0,
       .high = kDay,
       .unit = "seconds",
       .help = "How long the worker of a drained rank gets no rank, unless no layout is filled without it."},
      {.name = "coordinator-wait",
       .field = &Settings::coordinator_wait,
       .section = kSection,
       .programs = kServe | kWorker,
       .low = 0,
       .high = kDay,
       .unit = "seconds",
       .help =
           "How long a worker whose coordinator has gone keeps its weights and waits for a coordinator at "
           "the same address. 0: the worker ends at once, as workers that exchange over MPI always do."},
      {.name = "stop-workers",
       .field = &Settings::stop_workers,
       .section = kSection,
       .programs = kServe | kCoordinator,
       .help =
           "Tell the workers to end when the coordinator ends. If not, they keep their weights and wait for "
           "the next coordinator (coordinator-wait). Ranks that `serve` has started end with it all the same."},
  };
}

Rows MachineRows() {
  constexpr absl::string_view kSection = "Threads, cards and logs";
  return {
      {.name = "threads",
       .field = &Settings::threads,
       .section = kSection,
       .programs = kAll,
       .travels = true,
       .low = 0,
       .high = 1024,
       .unit = "threads",
       .help = "The compute threads of each rank. 0: the machine's cores, divided among its ranks."},
      {.name = "bind-threads",
       .field = &Settings::bind_threads,
       .section = kSection,
       .programs = kServe | kWorker,
       .help = "Bind compute threads to processors when the machine has one for each, and threads and memory "
               "to NUMA nodes."},
      {.name = "card",
       .field = &Settings::card,
       .section = kSection,
       .programs = kWorker,
       .low = -1,
       .high = 1023,
       .help =
           "The number of the card. -1: each rank of a machine takes one of the machine's cards in turn."},
      {.name = "log-level",
       .field = &Settings::log_level,
       .section = kSection,
       .programs = kAll,
       .choices = {"trace", "debug", "info", "warn", "error", "off"},
       .help = "What coordinator and workers log on standard error."},
  };
}

}  // namespace

const std::vector<Setting>& SettingTable() {
  static const std::vector<Setting> table = [] {
    Rows all;
    for (const Rows& rows : {ModelRows(), LayoutRows(), NumberFormatRows(), LimitRows(), HttpRows(),
                             ClusterRows(), MachineRows()})
      all.insert(all.end(), rows.begin(), rows.end());
    return all;
  }();
  return table;
}

}  // namespace deeprack
