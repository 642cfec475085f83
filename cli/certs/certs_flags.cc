#include "cli/certs/certs_flags.h"

#include <CLI/CLI.hpp>

#include "absl/time/clock.h"
#include "cli/certs/authority.h"
#include "cli/terminal/fail.h"

namespace deeprack::cli {

void CertsFlags::AddTo(CLI::App& command) {
  command.require_subcommand(1);
  make_ = command.add_subcommand("make", "Make a cluster's authority and a first certificate.");
  add_ = command.add_subcommand(
      "add", "Make another certificate of an authority, for a machine or before the first one ends.");
  show_ = command.add_subcommand("show", "Print whose the certificates are and how long they are valid.");
  add_->add_option("AUTHORITY", authority_, "The folder with ca.crt and ca.key.")->required();
  for (CLI::App* action : {make_, add_, show_}) {
    action->add_option("FOLDER", folder_, "The folder with ca.crt, tls.crt and tls.key.")->required();
  }
  for (CLI::App* action : {make_, add_}) {
    action->add_option("--host", options_.hosts,
                       "A name or an IP address that the certificate has beside 'deeprack'. May be\n"
                       "given several times. The cluster does not check it; people read it.");
    action->add_option("--days", options_.days, "How many days the certificate is valid.")
        ->check(CLI::Range(1, kMostDays))
        ->capture_default_str();
  }
}

int CertsFlags::Run() {
  const absl::Time now = absl::Now();
  const absl::Status status = *make_  ? MakeCerts(folder_, options_, now)
                              : *add_ ? AddCert(authority_, folder_, options_, now)
                                      : ShowCerts(folder_, now);
  return status.ok() ? 0 : FailByFlags(status);
}

}  // namespace deeprack::cli
