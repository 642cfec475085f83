// The `deeprack` command.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/bench/bench.h"
#include "cli/chat/chat.h"
#include "cli/demo/demo.h"
#include "cli/pack/pack.h"
#include "cli/perplexity/perplexity.h"
#include "cli/plan/plan.h"
#include "cli/quantize/quality_table.h"
#include "cli/quantize/quant_type.h"
#include "cli/quantize/quantize.h"
#include "cli/quantize/quantize_folder.h"
#include "cli/serve/serve.h"
#include "cli/serve/with_server.h"
#include "cli/terminal/exit_code.h"
#include "model/step/sampling_check.h"

namespace deeprack::cli {
namespace {

// The flags of `serve` as text; ResolveServeOptions reads them together with environment and file.
struct ServeFlags {
  Flags values;
  std::string config;

  void AddTo(CLI::App& command) {
    command.add_option_function<std::string>(
        "MODEL", [this](const std::string& value) { values["model"] = value; },
        "model folder or GGUF; without one: the demo model");
    command.add_option("--config", config, "YAML file of settings");
    for (const Setting& setting : ServeSettings()) {
      const std::string name(setting.name);
      command.add_option_function<std::string>(
          "--" + name, [this, name](const std::string& value) { values[name] = value; },
          std::string(setting.help));
    }
  }
};

int WithOptions(const ServeFlags& flags, const std::function<int(const ServeOptions&)>& run) {
  const auto options = LoadServeOptions(flags.values, flags.config);
  if (options.ok()) return run(*options);
  std::fprintf(stderr, "deeprack: %s\n", std::string(options.status().message()).c_str());
  const bool flag = absl::IsInvalidArgument(options.status());
  return static_cast<int>(flag ? ExitCode::kUsage : ExitCodeOf(options.status()));
}

int UsageError(const std::string& message) {
  std::fprintf(stderr, "deeprack: %s\n", message.c_str());
  return static_cast<int>(ExitCode::kUsage);
}

struct PlanFlags {
  ServeFlags serve;
  PlanOptions options;

  void AddTo(CLI::App& command) {
    serve.AddTo(command);
    command.add_option_function<std::string>(
        "--device-memory",
        [this](const std::string& text) {
          const auto bytes = ParseMemory(text);
          if (!bytes.ok())
            throw CLI::ValidationError("--device-memory", std::string(bytes.status().message()));
          options.device_memory = *bytes;
        },
        "what is free on each rank's own card or machine (80G: GiB): does it fit, and with how much KV "
        "cache");
    command
        .add_flag("--unverified-kernels", options.unverified_kernels, "as deeprack-worker's: other scratch")
        ->envname("DEEPRACK_UNVERIFIED_KERNELS");
  }

  int Run() {
    return WithOptions(serve, [&](const ServeOptions& with) { return Plan(with, options); });
  }
};

struct BenchFlags {
  ServeFlags serve;
  BenchOptions options;

  void AddTo(CLI::App& command) {
    serve.AddTo(command);
    command.add_option("--url", options.url, "measure the server that runs there, instead of starting one");
    command.add_option("--concurrency", options.concurrency, "streams at once, one level after the other")
        ->delimiter(',')
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    command.add_option("--prompt-tokens", options.prompt_tokens, "length of each prompt")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    command.add_option("--output-tokens", options.output_tokens, "tokens generated for each prompt")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    command
        .add_option("--requests", options.requests,
                    "requests of each level; default: twice its streams, 4 at least")
        ->check(CLI::Range(1, 1 << 20));
    command.add_option("--seed", options.seed, "of the random prompts")->capture_default_str();
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
    return WithOptions(serve, [&](const ServeOptions& with) { return WithCluster(with, work); });
  }
};

void AddTextOptions(PerplexityOptions& options, CLI::App& command) {
  command.add_option("--text", options.text, "the text that is scored, a file");
  command.add_option("--context", options.context, "tokens of a window; those of its second half are scored")
      ->check(CLI::Range(4, 1 << 20))
      ->capture_default_str();
  command.add_option("--windows", options.windows, "measure only so many windows, 0: all")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
}

struct PerplexityFlags {
  ServeFlags serve;
  PerplexityOptions options;

  void AddTo(CLI::App& command) {
    serve.AddTo(command);
    AddTextOptions(options, command);
    command.get_option("--text")->required();
    command.add_option(
        "--reference", options.reference,
        "also compare with this model, which is served first, its KV cache in the compute type");
    command
        .add_option("--top", options.top,
                    "tokens of each distribution that are compared; the vocabulary's size makes "
                    "the divergence exact")
        ->check(CLI::Range(1, model::kMostTopLogprobs))
        ->capture_default_str();
  }

  int Run() {
    return WithOptions(serve, [&](const ServeOptions& with) { return Perplexity(options, with); });
  }
};

// MODEL, OUT, and the flags of `serve` but for those that OUT stands for.
void AddPackOptions(ServeFlags& flags, CLI::App& command) {
  flags.AddTo(command);
  for (const char* flag : {"--packed", "--packed-check"}) command.remove_option(command.get_option(flag));
  command
      .add_option_function<std::string>(
          "OUT", [&flags](const std::string& value) { flags.values["packed"] = value; },
          "folder for the packed files, one for each rank")
      ->required();
}

struct QuantizeFlags {
  QuantizeOptions options;
  bool wants_table = false;
  QualityTableOptions table;

  void AddTo(CLI::App& command) {
    command.add_option("IN", options.in, "Hugging Face folder or GGUF")->required();
    command.add_option("OUT", options.out,
                       "file to write, named *.gguf; with INT4 and INT8 a folder; with --table: folder for "
                       "the files while they are measured, default: the system's temporary one");
    command.add_option("--type", options.type, QuantTypeNames() + "; for a folder " + kFolderTypeNames)
        ->capture_default_str();
    command.add_option("--threads", options.threads, "0: as many as this machine has")
        ->check(CLI::Range(0, 4096));
    command.add_flag("--table", wants_table,
                     "write no file: print size and perplexity of every type (of --types), each served in "
                     "turn as DEEPRACK_* and $DEEPRACK_CONFIG say");
    command.add_option("--types", table.types, "with --table: these types, and F16")->delimiter(',');
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
    return WithOptions({}, [&](const ServeOptions& serve) { return QualityTable(table, serve); });
  }
};

int Main(int argc, char** argv) {
  CLI::App app("deeprack serves DeepSeek R1 from a rack of machines.", "deeprack");
  app.require_subcommand(1);
  app.footer(
      "Flags win over DEEPRACK_* in the environment, those over the file of --config, those over the "
      "defaults.");

  ServeFlags serve_flags;
  CLI::App* serve = app.add_subcommand("serve", "start a coordinator and its ranks, and serve until Ctrl-C");
  serve_flags.AddTo(*serve);
  CLI::App* plan =
      app.add_subcommand("plan", "what each rank of a layout takes of its device, before it is taken");
  PlanFlags plan_flags;
  plan_flags.AddTo(*plan);

  ServeFlags pack_flags;
  CLI::App* pack =
      app.add_subcommand("pack", "prepare a model's weights so that `serve --packed` starts at once");
  AddPackOptions(pack_flags, *pack);

  QuantizeFlags quantize_flags;
  CLI::App* quantize = app.add_subcommand(
      "quantize", "write a model with fewer bits a weight, as one GGUF file or as a folder");
  quantize_flags.AddTo(*quantize);

  BenchFlags bench_flags;
  CLI::App* bench = app.add_subcommand(
      "bench", "serve a model, send it requests at several concurrencies, print throughput and latencies");
  bench_flags.AddTo(*bench);

  PerplexityFlags perplexity_flags;
  CLI::App* perplexity = app.add_subcommand(
      "perplexity", "how well a model predicts a text, and how far it is from a reference model");
  perplexity_flags.AddTo(*perplexity);

  ChatOptions chat_options;
  CLI::App* chat =
      app.add_subcommand("chat", "talk to a server; questions may also come from a pipe, one a line");
  chat->add_option("--url", chat_options.url, "where the server is")
      ->envname("DEEPRACK_URL")
      ->capture_default_str();
  chat->add_option("--model", chat_options.model, "model name; default: the server's first");

  CLI::App* demo = app.add_subcommand("demo", "what `make demo` runs")->group("");
  CLI::App* version = app.add_subcommand("version", "print the version");

  if (argc == 1) {
    std::fputs(app.help().c_str(), stderr);
    return static_cast<int>(ExitCode::kUsage);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
  }
  if (*serve) return WithOptions(serve_flags, Serve);
  if (*plan) return plan_flags.Run();
  if (*pack) return WithOptions(pack_flags, Pack);
  if (*quantize) return quantize_flags.Run();
  if (*bench) return bench_flags.Run();
  if (*perplexity) return perplexity_flags.Run();
  if (*chat) return Chat(chat_options);
  if (*demo) return Demo();
  if (*version) std::printf("deeprack %s\n", DEEPRACK_VERSION);
  return 0;
}

}  // namespace
}  // namespace deeprack::cli

int main(int argc, char** argv) { return deeprack::cli::Main(argc, argv); }
