#include "cli/keys/keys_flags.h"

#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/keys/keys.h"
#include "cli/terminal/fail.h"
#include "settings/setting.h"

namespace deeprack::cli {

void KeysFlags::AddTo(CLI::App& command) {
  command.require_subcommand(1);
  add_ = command.add_subcommand("add", "Make a key and print it once.");
  list_ = command.add_subcommand("list", "Print the names of the keys.");
  remove_ = command.add_subcommand("remove", "Remove a key. Servers refuse it within a second.");
  for (CLI::App* action : {add_, list_, remove_}) {
    action->add_option("--file", file_, "The file of keys, which `serve --api-keys` reads.")
        ->envname(VariableOf("api-keys"))
        ->required();
  }
  add_->add_option("NAME", name_, "Who uses the key.")->required();
  add_->add_option("--expires", expires_,
                   "When the key ends: 30d, 12h, 90m, a day such as 2027-01-31, or never.")
      ->capture_default_str();
  remove_->add_option("NAME", name_, "The key's name.")->required();
}

int KeysFlags::Run() {
  const absl::Time now = absl::Now();
  absl::Status status;
  if (*add_) {
    const auto end = ParseExpiry(expires_, now);
    if (!end.ok()) return FailUsage(absl::StrCat("--expires ", end.status().message()));
    status = AddKey(file_, name_, *end, now);
  } else {
    status = *list_ ? ListKeys(file_, now) : RemoveKey(file_, name_);
  }
  return status.ok() ? 0 : Fail(status);
}

}  // namespace deeprack::cli
