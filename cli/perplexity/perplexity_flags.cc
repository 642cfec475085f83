#include "cli/perplexity/perplexity_flags.h"

#include <CLI/CLI.hpp>

#include "cli/serve/given_settings.h"
#include "model/step/sampling_check.h"

namespace deeprack::cli {

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

void PerplexityFlags::AddTo(CLI::App& command) {
  AddSettingFlags(command, Program::kServe, serve_);
  AddTextOptions(options_, command);
  command.get_option("--text")->required();
  command.add_option(
      "--reference", options_.reference,
      "Compare with this model, too. It is served first, with a KV cache of the\ncompute type.");
  command
      .add_option("--top", options_.top,
                  "Tokens of each distribution that are compared. With the whole vocabulary\n"
                  "the divergence is exact.")
      ->check(CLI::Range(1, model::kMostTopLogprobs))
      ->capture_default_str();
}

int PerplexityFlags::Run() {
  return WithGivenSettings(serve_, [&](const Settings& with) { return Perplexity(options_, with); });
}

}  // namespace deeprack::cli
