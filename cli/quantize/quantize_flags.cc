#include "cli/quantize/quantize_flags.h"

#include <CLI/CLI.hpp>

#include "cli/perplexity/perplexity_flags.h"
#include "cli/quantize/quant_type.h"
#include "cli/quantize/quantize_folder.h"
#include "cli/serve/given_settings.h"
#include "cli/terminal/fail.h"

namespace deeprack::cli {

void QuantizeFlags::AddTo(CLI::App& command) {
  command.add_option("IN", options_.in, "A Hugging Face folder or a GGUF file.")->required();
  command.add_option("OUT", options_.out,
                     "The file to write, named *.gguf; for INT4 and INT8 a folder. With --table: the\n"
                     "folder for the files that are measured; without it the system's temporary\nfolder.");
  command
      .add_option("--type", options_.type,
                  Wrapped(QuantTypeNames() + "; for a folder " + kFolderTypeNames + ".", 76))
      ->capture_default_str();
  command.add_option("--threads", options_.threads, "Threads. 0: one for each processor of this machine.")
      ->check(CLI::Range(0, 4096));
  command.add_flag("--no-mtp", options_.without_mtp,
                   "Leave out the model's MTP layer, which drafts tokens (--speculative-tokens).");
  command.add_flag("--table", wants_table_,
                   "Write no file: print size and perplexity of every type, or of --types. Each is\n"
                   "served in turn, with the settings of DEEPRACK_* and $DEEPRACK_CONFIG.");
  command.add_option("--types", table_.types, "With --table: these types, and F16.")->delimiter(',');
  AddTextOptions(table_.perplexity, command);
}

int QuantizeFlags::Run() {
  if (!wants_table_) {
    if (options_.out.empty()) return FailUsage("quantize needs OUT, the file to write, or --table");
    if (!table_.perplexity.text.empty() || !table_.types.empty())
      return FailUsage("--text and --types go with --table");
    return Quantize(options_);
  }
  if (table_.perplexity.text.empty()) return FailUsage("--table needs --text, the text that is scored");
  table_.in = options_.in;
  table_.folder = options_.out;
  table_.threads = options_.threads;
  table_.without_mtp = options_.without_mtp;
  return WithGivenSettings({}, [&](const Settings& serve) { return QualityTable(table_, serve); });
}

}  // namespace deeprack::cli
