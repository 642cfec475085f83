// The `deeprack` command.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/exit_code.h"
#include "base/nearest_word.h"
#include "base/process_limits.h"
#include "cli/bench/bench_flags.h"
#include "cli/certs/certs_flags.h"
#include "cli/chat/chat.h"
#include "cli/demo/demo.h"
#include "cli/keys/keys_flags.h"
#include "cli/load/load_flags.h"
#include "cli/pack/pack.h"
#include "cli/perplexity/perplexity_flags.h"
#include "cli/plan/plan.h"
#include "cli/preflight/flags.h"
#include "cli/quantize/quantize_flags.h"
#include "cli/serve/given_settings.h"
#include "cli/serve/serve.h"
#include "cli/terminal/fail.h"
#include "settings/command_line.h"
#include "settings/flags_page.h"
#include "settings/setting.h"
#include "settings/size_text.h"

namespace deeprack::cli {
namespace {

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
    return WithGivenSettings(serve, [&](const Settings& with) { return Plan(with, options); });
  }
};

int RunPreflight(const PreflightFlags& flags) {
  const auto options = flags.Options(DEEPRACK_VERSION);
  if (!options.ok()) return FailByFlags(options.status());
  return WithSettings(flags.LoadSettings(), [&](const Settings& with) { return CheckRack(with, *options); });
}

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

// The exit code when `word` is no command, which is then on standard error.
std::optional<int> RefuseUnknown(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == word) return std::nullopt;
    if (!command->get_group().empty()) names.push_back(command->get_name());
  }
  const std::string nearest = NearestWord(word, names, std::max<size_t>(2, word.size() / 3));
  const std::string meant = nearest.empty() ? ";" : absl::StrCat(": did you mean '", nearest, "'?");
  return FailUsage(
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
    return FailUsage(absl::StrCat(error.what(), "; `", command, " --help` has more"));
  }
  if (*serve) return WithGivenSettings(serve_flags, Serve);
  if (*plan) return plan_flags.Run();
  if (*preflight) return RunPreflight(preflight_flags);
  if (*agent) return RunAgent(agent_flags.Options(DEEPRACK_VERSION));
  if (*pack) return WithGivenSettings(pack_flags, Pack);
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
