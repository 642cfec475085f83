#include "cli/serve/given_settings.h"

#include "cli/serve/serve.h"
#include "cli/terminal/fail.h"

namespace deeprack::cli {

int WithSettings(const absl::StatusOr<Settings>& settings, const std::function<int(const Settings&)>& run) {
  return settings.ok() ? run(*settings) : FailByFlags(settings.status());
}

int WithGivenSettings(const GivenFlags& given, const std::function<int(const Settings&)>& run) {
  return WithSettings(LoadServeSettings(given.values, given.config), run);
}

absl::Status CheckGivenServer(const std::string& url, const GivenFlags& given) {
  if (url.empty() || (given.values.empty() && given.config.empty())) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "--url measures a server that runs already: MODEL and the flags of `serve` do not go with it");
}

int WithGivenServer(const std::string& url, GivenFlags given, const ServerWork& work) {
  if (!url.empty()) return WithServer(url, work);
  given.values.emplace("port", "0");
  return WithGivenSettings(given, [&](const Settings& settings) { return WithCluster(settings, work); });
}

}  // namespace deeprack::cli
