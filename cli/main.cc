// The `deeprack` command.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/exit_code.h"
#include "base/nearest_word.h"
#include "base/process_limits.h"
#include "cli/bench/bench.h"
#include "cli/certs/authority.h"
#include "cli/certs/certs.h"
#include "cli/chat/chat.h"
#include "cli/demo/demo.h"
#include "cli/keys/keys.h"
#include "cli/load/load_command.h"
#include "cli/load/load_options.h"
#include "cli/pack/pack.h"
#include "cli/perplexity/perplexity.h"
#include "cli/plan/plan.h"
#include "cli/preflight/flags.h"
#include "cli/quantize/quality_table.h"
#include "cli/quantize/quant_type.h"
#include "cli/quantize/quantize.h"
#include "cli/quantize/quantize_folder.h"
#include "cli/serve/serve.h"
#include "cli/serve/with_server.h"
#include "model/step/sampling_check.h"
#include "settings/command_line.h"
#include "settings/flags_page.h"
#include "settings/setting.h"
#include "settings/size_text.h"

namespace deeprack::cli {
namespace {

int With(const absl::StatusOr<Settings>& settings, const std::function<int(const Settings&)>& run) {
  if (settings.ok()) return run(*settings);
  std::fprintf(stderr, "deeprack: %s\n", std::string(settings.status().message()).c_str());
  const bool by_flag = absl::IsInvalidArgument(settings.status());
  return static_cast<int>(by_flag ? ExitCode::kUsage : ExitCodeOf(settings.status()));
}

int WithSettings(const GivenFlags& given, const std::function<int(const Settings&)>& run) {
  return With(LoadServeSettings(given.values, given.config), run);
}

int UsageError(const std::string& message) {
  std::fprintf(stderr, "deeprack: %s\n", message.c_str());
  return static_cast<int>(ExitCode::kUsage);
}

struct PlanFlags {
  GivenFlags serve;
  PlanOptions options;

  void AddTo(CLI::App& command) {
    AddSettingFlags(command, Program::kServe, serve);
    CLI::Option* memory = command.add_option_function<std::string>(
        "--device-memory",
        [this](const std::string& text) {
          const auto bytes = ParseSize(text, 1);
          if (!bytes.ok()) {
            throw CLI::ValidationError("--device-memory",
                                       absl::StrCat("'", text, "' ", bytes.status().message()));
          }
          options.device_memory = *bytes;
        },
        "The memory that is free on each rank's own card or machine, such as 79G. The\nplan then says "
        "whether the ranks fit, and how many tokens they cache.");
    memory->type_name("SIZE");
  }

  int Run() {
    return WithSettings(serve, [&](const Settings& with) { return Plan(with, options); });
  }
};

int RunPreflight(const PreflightFlags& flags) {
  const auto options = flags.Options(DEEPRACK_VERSION);
  if (!options.ok()) return UsageError(std::string(options.status().message()));
  return With(flags.LoadSettings(), [&](const Settings& with) { return CheckRack(with, *options); });
}

struct BenchFlags {
  GivenFlags serve;
  BenchOptions options;

  void AddTo(CLI::App& command) {
    AddSettingFlags(command, Program::kServe, serve);
    command.add_option("--url", options.url, "Measure the server at this URL instead of starting one.");
    command
        .add_option("--concurrency", options.concurrency,
                    "Numbers of streams at once, measured one after the other.")
        ->delimiter(',')
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    command.add_option("--prompt-tokens", options.prompt_tokens, "Tokens of each prompt.")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    command
        .add_option("--output-tokens", options.output_tokens, "Tokens that are generated for each prompt.")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    command
        .add_option("--requests", options.requests,
                    "Requests of each level. Without it: twice the level's streams, but at least 4.")
        ->check(CLI::Range(1, 1 << 20));
    command.add_option("--seed", options.seed, "The seed of the random prompts.")->capture_default_str();
  }

  int Run() {
    const int32_t most = *std::max_element(options.concurrency.begin(), options.concurrency.end());
    if (options.requests > 0 && options.requests < most) {
      return UsageError(absl::StrCat("--requests ", options.requests, " cannot keep the ", most,
                                     " streams of --concurrency busy; ask for ", most, " at least"));
    }
    const ServerWork work = [this](const Url& url, const Cancelled& cancelled) {
      return Bench(options, url, cancelled);
    };
    if (!options.url.empty()) {
      if (serve.values.empty() && serve.config.empty()) return WithServer(options.url, work);
      return UsageError(
          "--url measures a server that runs already: MODEL and the flags of `serve` do not go with it");
    }
    serve.values.emplace("port", "0");
    return WithSettings(serve, [&](const Settings& with) { return WithCluster(with, work); });
  }
};

struct LoadFlags {
  GivenFlags serve;
  LoadOptions options;

  void AddTo(CLI::App& command) {
    AddSettingFlags(command, Program::kServe, serve);
    const auto add = [&command](const char* flag, auto& value, const char* help) {
      return command.add_option(flag, value, help);
    };
    add("--url", options.url, "Measure the server at this URL instead of starting one.");
    add("--model-name", options.model,
        "The model to ask for. Without it: the first model that the server names.");
    add("--api", options.api, "chat or completions: what is asked.")->capture_default_str();
    add("--concurrency", options.concurrency,
        "Closed loop: numbers of sessions at once, measured one after the other.\nWithout --rate and "
        "--trace: 1,4,16.")
        ->delimiter(',');
    add("--rate", options.rate, "Open loop: requests a second, measured one after the other.")
        ->delimiter(',');
    add("--burstiness", options.burstiness,
        "With --rate: the shape of the gamma-distributed gaps between arrivals. 1: a\n"
        "Poisson process; below 1: bursts. Default: 1.");
    add("--requests", options.requests,
        "Requests of each level. Without it: 4 for each session and turn, at least 16;\n"
        "half a minute of --rate, at least 20; all of --trace.");
    add("--warmup", options.warmup,
        "Requests before each level that are not measured. Without it: one for each\nsession at once, at "
        "most 16; "
        "4 in an open loop.");
    add("--workload", options.workload, "chat, long-prompt, shared-prefix or agent. Without it: chat.");
    add("--input-tokens", options.input_tokens, "Tokens that a request adds to the prompt, on average.");
    add("--output-tokens", options.output_tokens, "Tokens of an answer, on average.");
    add("--spread", options.spread,
        "Lengths are drawn evenly from mean x (1 - spread) to mean x (1 + spread).");
    add("--prefix-tokens", options.prefix_tokens,
        "Tokens of the shared system prompt (shared-prefix, agent).");
    add("--prefixes", options.prefixes, "How many different system prompts there are.");
    add("--turns", options.turns, "Turns of a session (agent).");
    add("--think-time", options.think_seconds,
        "Seconds between an answer and the next turn, on average (agent).");
    add("--trace", options.trace, "Send what this file says: JSON lines as Mooncake's, or BurstGPT's CSV.");
    add("--trace-block", options.trace_block, "Tokens of a block of the trace's hash_ids. Default: 512.");
    add("--time-scale", options.time_scale,
        "Multiply the trace's times, one level for each. 0.5 doubles the load.\nDefault: 1.")
        ->delimiter(',');
    add("--goodput", options.goodput,
        "Objectives in milliseconds, such as ttft:500,tpot:50,e2e:10000: requests that\nkeep all of them "
        "count.");
    add("--seed", options.seed, "The seed of texts, lengths and arrivals.")->capture_default_str();
    add("--timeout", options.timeout_seconds, "Seconds after which a request has failed.")
        ->capture_default_str();
    add("--client-threads", options.threads,
        "Network threads of the client. 0: half of the processors, at most 4.")
        ->capture_default_str();
    add("--json", options.json, "Write all figures to this file.");
    add("--html", options.html, "Write a page of plots to this file.");
  }

  int Run() {
    auto test = CheckLoadOptions(options);
    if (!test.ok()) return UsageError(std::string(test.status().message()));
    if (!options.url.empty() && (!serve.values.empty() || !serve.config.empty())) {
      return UsageError(
          "--url measures a server that runs already: MODEL and the flags of `serve` do not go with it");
    }
    if (const absl::Status status = ReadLoadFiles(options, *test); !status.ok()) {
      std::fprintf(stderr, "deeprack: %s\n", std::string(status.message()).c_str());
      return static_cast<int>(ExitCodeOf(status));
    }
    const ServerWork work = [&](const Url& url, const Cancelled& cancelled) {
      return Load(options, *test, url, cancelled);
    };
    if (!options.url.empty()) return WithServer(options.url, work);
    serve.values.emplace("port", "0");
    return WithSettings(serve, [&](const Settings& with) { return WithCluster(with, work); });
  }
};

void AddTextOptions(PerplexityOptions& options, CLI::App& command) {
  command.add_option("--text", options.text, "The file with the text that is scored.");
  command
      .add_option("--context", options.context, "Tokens of a window. Those of the second half are scored.")
      ->check(CLI::Range(4, 1 << 20))
      ->capture_default_str();
  command.add_option("--windows", options.windows, "The most windows that are scored. 0: all.")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
}

struct PerplexityFlags {
  GivenFlags serve;
  PerplexityOptions options;

  void AddTo(CLI::App& command) {
    AddSettingFlags(command, Program::kServe, serve);
    AddTextOptions(options, command);
    command.get_option("--text")->required();
    command.add_option(
        "--reference", options.reference,
        "Compare with this model, too. It is served first, with a KV cache of the\ncompute type.");
    command
        .add_option("--top", options.top,
                    "Tokens of each distribution that are compared. With the whole vocabulary\n"
                    "the divergence is exact.")
        ->check(CLI::Range(1, model::kMostTopLogprobs))
        ->capture_default_str();
  }

  int Run() {
    return WithSettings(serve, [&](const Settings& with) { return Perplexity(options, with); });
  }
};

// MODEL, OUT, and the flags of `serve` but for those that OUT stands for.
void AddPackOptions(GivenFlags& given, CLI::App& command) {
  AddSettingFlags(command, Program::kServe, given);
  for (const std::string& flag : {FlagOf(&Settings::packed), FlagOf(&Settings::packed_check)})
    command.remove_option(command.get_option(flag));
  command
      .add_option_function<std::string>(
          "OUT", [&given](const std::string& value) { given.values["packed"] = value; },
          "The folder for the packed files, one for each rank.")
      ->type_name("")
      ->required();
}

struct QuantizeFlags {
  QuantizeOptions options;
  bool wants_table = false;
  QualityTableOptions table;

  void AddTo(CLI::App& command) {
    command.add_option("IN", options.in, "A Hugging Face folder or a GGUF file.")->required();
    command.add_option("OUT", options.out,
                       "The file to write, named *.gguf; for INT4 and INT8 a folder. With --table: the\n"
                       "folder for the files that are measured; without it the system's temporary\nfolder.");
    command
        .add_option("--type", options.type,
                    Wrapped(QuantTypeNames() + "; for a folder " + kFolderTypeNames + ".", 76))
        ->capture_default_str();
    command.add_option("--threads", options.threads, "Threads. 0: one for each processor of this machine.")
        ->check(CLI::Range(0, 4096));
    command.add_flag("--table", wants_table,
                     "Write no file: print size and perplexity of every type, or of --types. Each is\n"
                     "served in turn, with the settings of DEEPRACK_* and $DEEPRACK_CONFIG.");
    command.add_option("--types", table.types, "With --table: these types, and F16.")->delimiter(',');
    AddTextOptions(table.perplexity, command);
  }

  int Run() {
    if (!wants_table) {
      if (options.out.empty()) return UsageError("quantize needs OUT, the file to write, or --table");
      if (!table.perplexity.text.empty() || !table.types.empty())
        return UsageError("--text and --types go with --table");
      return Quantize(options);
    }
    if (table.perplexity.text.empty()) return UsageError("--table needs --text, the text that is scored");
    table.in = options.in;
    table.folder = options.out;
    table.threads = options.threads;
    return WithSettings({}, [&](const Settings& serve) { return QualityTable(table, serve); });
  }
};

// deeprack keys add NAME, list, remove NAME
struct KeysFlags {
  std::string file, name, expires = "never";
  CLI::App *add = nullptr, *list = nullptr, *remove = nullptr;

  void AddTo(CLI::App& command) {
    command.require_subcommand(1);
    add = command.add_subcommand("add", "Make a key and print it once.");
    list = command.add_subcommand("list", "Print the names of the keys.");
    remove = command.add_subcommand("remove", "Remove a key. Servers refuse it within a second.");
    for (CLI::App* action : {add, list, remove}) {
      action->add_option("--file", file, "The file of keys, which `serve --api-keys` reads.")
          ->envname(VariableOf("api-keys"))
          ->required();
    }
    add->add_option("NAME", name, "Who uses the key.")->required();
    add->add_option("--expires", expires,
                    "When the key ends: 30d, 12h, 90m, a day such as 2027-01-31, or never.")
        ->capture_default_str();
    remove->add_option("NAME", name, "The key's name.")->required();
  }

  int Run() {
    const absl::Time now = absl::Now();
    absl::Status status;
    if (*add) {
      const auto end = ParseExpiry(expires, now);
      if (!end.ok()) return UsageError(absl::StrCat("--expires ", end.status().message()));
      status = AddKey(file, name, *end, now);
    } else {
      status = *list ? ListKeys(file, now) : RemoveKey(file, name);
    }
    if (status.ok()) return 0;
    std::fprintf(stderr, "deeprack: %s\n", std::string(status.message()).c_str());
    return static_cast<int>(ExitCodeOf(status));
  }
};

// deeprack certs make FOLDER, add AUTHORITY FOLDER, show FOLDER
struct CertsFlags {
  std::string authority, folder;
  CertsOptions options;
  CLI::App *make = nullptr, *add = nullptr, *show = nullptr;

  void AddTo(CLI::App& command) {
    command.require_subcommand(1);
    make = command.add_subcommand("make", "Make a cluster's authority and a first certificate.");
    add = command.add_subcommand(
        "add", "Make another certificate of an authority, for a machine or before the first one ends.");
    show = command.add_subcommand("show", "Print whose the certificates are and how long they are valid.");
    add->add_option("AUTHORITY", authority, "The folder with ca.crt and ca.key.")->required();
    for (CLI::App* action : {make, add, show}) {
      action->add_option("FOLDER", folder, "The folder with ca.crt, tls.crt and tls.key.")->required();
    }
    for (CLI::App* action : {make, add}) {
      action->add_option("--host", options.hosts,
                         "A name or an IP address that the certificate has beside 'deeprack'. May be\n"
                         "given several times. The cluster does not check it; people read it.");
      action->add_option("--days", options.days, "How many days the certificate is valid.")
          ->check(CLI::Range(1, kMostDays))
          ->capture_default_str();
    }
  }

  int Run() {
    const absl::Time now = absl::Now();
    const absl::Status status = *make  ? MakeCerts(folder, options, now)
                                : *add ? AddCert(authority, folder, options, now)
                                       : ShowCerts(folder, now);
    if (status.ok()) return 0;
    if (absl::IsInvalidArgument(status)) return UsageError(std::string(status.message()));
    std::fprintf(stderr, "deeprack: %s\n", std::string(status.message()).c_str());
    return static_cast<int>(ExitCodeOf(status));
  }
};

// The exit code when `word` is no command, which is then on standard error.
std::optional<int> RefuseUnknown(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == word) return std::nullopt;
    if (!command->get_group().empty()) names.push_back(command->get_name());
  }
  const std::string nearest = NearestWord(word, names, std::max<size_t>(2, word.size() / 3));
  const std::string meant = nearest.empty() ? ";" : absl::StrCat(": did you mean '", nearest, "'?");
  return UsageError(
      absl::StrCat("there is no command '", word, "'", meant, " `deeprack --help` lists the commands"));
}

int Main(int argc, char** argv) {
  ExplainRefusals("deeprack");
  CLI::App app("deeprack serves DeepSeek R1 from a rack of machines.", "deeprack");
  SetHelpLayout(app);
  app.set_version_flag("--version", "deeprack " DEEPRACK_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Settings come from flags, from DEEPRACK_* variables and from a YAML file (--config FILE). A flag "
      "wins\n"
      "over a variable, a variable over the file, the file over the default. docs/FLAGS.md lists all "
      "settings.");

  GivenFlags serve_flags;
  CLI::App* serve = app.add_subcommand("serve", "Start a coordinator and its ranks, and serve until Ctrl-C.");
  AddSettingFlags(*serve, Program::kServe, serve_flags);
  CLI::App* plan = app.add_subcommand(
      "plan", "Print the memory that each rank takes of its device, without loading the model.");
  PlanFlags plan_flags;
  plan_flags.AddTo(*plan);

  CLI::App* preflight =
      app.add_subcommand("preflight", "Tell before serving whether the rack is fit, and what to mend.");
  PreflightFlags preflight_flags;
  preflight_flags.AddTo(*preflight);
  CLI::App* agent =
      app.add_subcommand("preflight-agent", "Answer what `deeprack preflight` asks of this host.");
  AgentFlags agent_flags;
  agent_flags.AddTo(*agent);

  GivenFlags pack_flags;
  CLI::App* pack =
      app.add_subcommand("pack", "Pack a model's weights, so that `serve --packed` starts at once.");
  AddPackOptions(pack_flags, *pack);

  QuantizeFlags quantize_flags;
  CLI::App* quantize = app.add_subcommand(
      "quantize", "Write a model with fewer bits a weight, as one GGUF file or as a folder.");
  quantize_flags.AddTo(*quantize);

  BenchFlags bench_flags;
  CLI::App* bench = app.add_subcommand(
      "bench", "Serve a model and measure throughput and latencies at several concurrencies.");
  bench_flags.AddTo(*bench);

  LoadFlags load_flags;
  CLI::App* load = app.add_subcommand(
      "load", "Load-test a server: open or closed loop, made-up workloads or traces, an honest report.");
  load_flags.AddTo(*load);

  PerplexityFlags perplexity_flags;
  CLI::App* perplexity = app.add_subcommand(
      "perplexity", "Measure how well a model predicts a text, and its divergence from a reference model.");
  perplexity_flags.AddTo(*perplexity);

  ChatOptions chat_options;
  CLI::App* chat =
      app.add_subcommand("chat", "Talk to a server. Questions may come from a pipe, one a line.");
  chat->add_option("--url", chat_options.url, "The server's URL.")
      ->envname("DEEPRACK_URL")
      ->capture_default_str();
  chat->add_option("--model", chat_options.model,
                   "The model's name. Without it: the first model that the server names.");

  CLI::App* keys = app.add_subcommand("keys", "Make, list and remove the API keys of a server.");
  KeysFlags keys_flags;
  keys_flags.AddTo(*keys);

  CLI::App* certs = app.add_subcommand("certs", "Make and show the certificates of a cluster.");
  CertsFlags certs_flags;
  certs_flags.AddTo(*certs);

  CLI::App* demo = app.add_subcommand("demo", "what `make demo` runs")->group("");
  CLI::App* settings = app.add_subcommand("settings", "print docs/FLAGS.md")->group("");
  CLI::App* version = app.add_subcommand("version", "Print the version.");

  if (argc == 1) {
    std::fputs(app.help().c_str(), stderr);
    return static_cast<int>(ExitCode::kUsage);
  }
  if (argv[1][0] != '-') {
    if (const auto code = RefuseUnknown(app, argv[1])) return *code;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    const auto begun = app.get_subcommands();
    const std::string command = begun.empty() ? "deeprack" : "deeprack " + begun[0]->get_name();
    return UsageError(absl::StrCat(error.what(), "; `", command, " --help` has more"));
  }
  if (*serve) return WithSettings(serve_flags, Serve);
  if (*plan) return plan_flags.Run();
  if (*preflight) return RunPreflight(preflight_flags);
  if (*agent) return RunAgent(agent_flags.Options(DEEPRACK_VERSION));
  if (*pack) return WithSettings(pack_flags, Pack);
  if (*quantize) return quantize_flags.Run();
  if (*bench) return bench_flags.Run();
  if (*load) return load_flags.Run();
  if (*perplexity) return perplexity_flags.Run();
  if (*chat) return Chat(chat_options);
  if (*keys) return keys_flags.Run();
  if (*certs) return certs_flags.Run();
  if (*demo) return Demo();
  if (*settings) std::fputs(FlagsPage().c_str(), stdout);
  if (*version) std::printf("deeprack %s\n", DEEPRACK_VERSION);
  return 0;
}

}  // namespace
}  // namespace deeprack::cli

int main(int argc, char** argv) { return deeprack::cli::Main(argc, argv); }
