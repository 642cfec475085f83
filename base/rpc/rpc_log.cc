#include "base/rpc/rpc_log.h"

#include <grpc/support/log.h>

#include <map>
#include <mutex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "spdlog/spdlog.h"

namespace deeprack {
namespace {

constexpr absl::Duration kAgainAfter = absl::Minutes(1);
constexpr size_t kMostTexts = 100;  // that are logged in a minute

// Never destroyed: threads of gRPC may log until the process ends.
struct Refusals {
  std::mutex mutex;
  std::map<std::string, absl::Time> again_at;  // of the texts of the last minute
};

Refusals& Logged() {
  static Refusals& refusals = *new Refusals;
  return refusals;
}

void FromGrpc(gpr_log_func_args* line) {
  if (line->severity >= GPR_LOG_SEVERITY_ERROR) LogRefusal(GrpcLogLine(line->message));
}

}  // namespace

void TakeGrpcLog() {
  gpr_set_log_function(FromGrpc);
  Refusals& refusals = Logged();
  const std::lock_guard lock(refusals.mutex);
  refusals.again_at.clear();
}

std::string GrpcLogLine(const std::string& message) {
  if (absl::StrContains(message, "peer did not return a certificate")) {
    return "refused a client of the cluster's ports: it has no certificate";
  }
  for (const char* reason : {"wrong version number", "http request", "unexpected message"}) {
    if (absl::StrContains(message, "SSL routines") && absl::StrContains(message, reason)) {
      return absl::StrCat(
          "refused a peer of the cluster's ports: it does not speak TLS, or is no part of deeprack (",
          "OpenSSL: ", reason, ")");
    }
  }
  return absl::StrCat("gRPC: ", message);
}

void LogRefusal(const std::string& text) {
  Refusals& refusals = Logged();
  {
    const std::lock_guard lock(refusals.mutex);
    const absl::Time now = absl::Now();
    std::erase_if(refusals.again_at, [now](const auto& entry) { return entry.second <= now; });
    if (refusals.again_at.size() >= kMostTexts || !refusals.again_at.emplace(text, now + kAgainAfter).second)
      return;
  }
  spdlog::warn("{}", text);
}

}  // namespace deeprack
