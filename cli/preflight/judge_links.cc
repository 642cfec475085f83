#include <algorithm>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/rpc/address.h"
#include "cli/preflight/figures_text.h"
#include "cli/preflight/judges.h"
#include "cli/preflight/median.h"
#include "proto/preflight.pb.h"

namespace deeprack::cli {
namespace {

constexpr int kMostRows = 20;  // of links without a fault

using preflight::Host;
using preflight::Link;
using preflight::Rack;

// Why `rate` is too low; "": it is not.
std::string TooLow(double rate, double usual, const PreflightLimits& limits) {
  if (limits.least_bandwidth > 0 && rate < limits.least_bandwidth)
    return absl::StrCat("less than --least-bandwidth ", RateText(limits.least_bandwidth));
  if (rate < limits.least_share * usual)
    return absl::StrFormat("%.0f %% of the usual %s", 100 * rate / usual, RateText(usual));
  return "";
}

bool IsLate(double round_trip, double usual) {
  return round_trip > kSlowRoundTrip * usual && round_trip > usual + kSlowRoundTripSeconds;
}

bool IsSlow(const Link& link, const LinkReference& usual, const PreflightLimits& limits) {
  return link.failure().empty() && !TooLow(link.figures().bytes_per_second(), usual.rate, limits).empty();
}

// True when every link that leaves (or reaches) the host is slow, and there are several.
bool AllSlow(const Rack& rack, const LinkReference& usual, const PreflightLimits& limits, int host,
             bool leaves) {
  int slow = 0, all = 0;
  for (const Link& link : rack.links()) {
    if ((leaves ? link.from() : link.to()) != host) continue;
    ++all;
    slow += IsSlow(link, usual, limits);
  }
  return all > 1 && slow == all;
}

std::string RemedyOfSlow(const Rack& rack, const LinkReference& usual, const PreflightLimits& limits,
                         const Link& link) {
  const std::string from = rack.hosts(link.from()).name(), to = rack.hosts(link.to()).name();
  if (AllSlow(rack, usual, limits, link.from(), true))
    return absl::StrCat("every link from ", from,
                        " is slow: look at its network card's speed (ethtool), its cable "
                        "and its switch port");
  if (AllSlow(rack, usual, limits, link.to(), false))
    return absl::StrCat("every link to ", to,
                        " is slow: look at its network card's speed (ethtool), its cable and "
                        "its switch port");
  return absl::StrCat("only this way is slow: look at routes, switches and traffic shaping between ", from,
                      " and ", to);
}

Finding JudgeLink(const Rack& rack, const LinkReference& usual, const PreflightLimits& limits,
                  const Link& link) {
  Finding finding{
      .check = "link",
      .subject = absl::StrCat(rack.hosts(link.from()).name(), " -> ", rack.hosts(link.to()).name())};
  if (!link.failure().empty()) {
    finding.verdict = Verdict::kFail;
    finding.found = link.failure();
    finding.remedy = "ranks use ports that the system chooses: open all ports between the hosts of the rack";
    return finding;
  }
  const double rate = link.figures().bytes_per_second(), round_trip = link.figures().round_trip_seconds();
  finding.found = absl::StrCat(TimeText(round_trip), ", ", RateText(rate));
  if (const std::string low = TooLow(rate, usual.rate, limits); !low.empty()) {
    finding.verdict = Verdict::kFail;
    absl::StrAppend(&finding.found, ", ", low);
    finding.remedy = RemedyOfSlow(rack, usual, limits, link);
  } else if (IsLate(round_trip, usual.round_trip)) {
    finding.verdict = Verdict::kWarning;
    absl::StrAppend(&finding.found, ", the usual round trip is ", TimeText(usual.round_trip));
    finding.remedy = "every layer waits for round trips: look at the route and at interrupt moderation";
  }
  return finding;
}

}  // namespace

LinkReference ReferenceOf(const Rack& rack) {
  std::map<int, LinkReference> best;  // by host
  for (const Link& link : rack.links()) {
    if (!link.failure().empty()) continue;
    const double rate = link.figures().bytes_per_second(), round_trip = link.figures().round_trip_seconds();
    for (const int host : {link.from(), link.to()}) {
      const auto [at, is_first] = best.try_emplace(host, LinkReference{rate, round_trip});
      at->second.rate = std::max(at->second.rate, rate);
      at->second.round_trip = std::min(at->second.round_trip, round_trip);
    }
  }
  std::vector<double> rates, round_trips;
  for (const auto& [host, figures] : best) {
    rates.push_back(figures.rate);
    round_trips.push_back(figures.round_trip);
  }
  // Of two rates and of two round trips, the faster is the measure.
  return {UpperMedian(rates), LowerMedian(round_trips)};
}

Findings JudgeLinks(const Rack& rack, const PreflightLimits& limits) {
  const LinkReference usual = ReferenceOf(rack);
  Findings findings;
  double slowest = std::numeric_limits<double>::infinity();
  for (const Link& link : rack.links()) {
    Finding finding = JudgeLink(rack, usual, limits, link);
    if (finding.verdict == Verdict::kOk) {
      slowest = std::min(slowest, link.figures().bytes_per_second());
      if (rack.links_size() > kMostRows) continue;
    }
    findings.push_back(std::move(finding));
  }
  if (rack.links_size() > kMostRows) {
    const size_t good = static_cast<size_t>(rack.links_size()) - findings.size();
    if (good > 0) {
      findings.push_back({.check = "link",
                          .subject = absl::StrCat(good, " links"),
                          .found = absl::StrCat("usual ", TimeText(usual.round_trip), ", ",
                                                RateText(usual.rate), "; slowest ", RateText(slowest))});
    }
  }
  return findings;
}

Findings JudgeControl(const Rack& rack, const PreflightLimits& limits, const std::string& control,
                      const std::string& own, const std::string& http) {
  const auto is_own = [&](const Host& host) {
    const auto address = ParseHostPort(host.address());
    return address.ok() && address->host == own;
  };
  std::vector<double> rates;
  for (const Host& host : rack.hosts()) {
    if (!host.failure().empty() || !host.control_failure().empty() || is_own(host)) continue;
    rates.push_back(std::min(host.control().up_bytes_per_second(), host.control().down_bytes_per_second()));
  }
  const double median = UpperMedian(rates);
  Findings findings;
  for (const Host& host : rack.hosts()) {
    if (!host.failure().empty()) continue;
    Finding finding{.check = "coordinator", .subject = absl::StrCat(host.name(), " -> ", control)};
    const double up = host.control().up_bytes_per_second(), down = host.control().down_bytes_per_second();
    if (!host.control_failure().empty()) {
      finding.verdict = Verdict::kFail;
      finding.found = host.control_failure();
      finding.remedy =
          absl::StrCat("workers on ", host.name(), " cannot join: open the port of --cluster-address ",
                       "to the hosts of the rack");
    } else if (up == 0) {
      finding.found = "reached; a running coordinator holds the port, so nothing was measured";
    } else {
      finding.found = absl::StrCat(TimeText(host.control().round_trip_seconds()), ", up ", RateText(up),
                                   ", down ", RateText(down));
      const std::string low = is_own(host) ? "" : TooLow(std::min(up, down), median, limits);
      if (!low.empty()) {
        const bool floor = limits.least_bandwidth > 0 && std::min(up, down) < limits.least_bandwidth;
        finding.verdict = floor ? Verdict::kFail : Verdict::kWarning;
        absl::StrAppend(&finding.found, ", ", low);
        finding.remedy = absl::StrCat("look at the way between ", host.name(), " and the coordinator");
      }
    }
    findings.push_back(std::move(finding));
    if (!host.http_failure().empty()) {
      findings.push_back({.check = "http port",
                          .subject = absl::StrCat(host.name(), " -> ", http),
                          .verdict = Verdict::kWarning,
                          .found = host.http_failure(),
                          .remedy = "ranks do not need it; clients on this host do"});
    }
  }
  return findings;
}

}  // namespace deeprack::cli
