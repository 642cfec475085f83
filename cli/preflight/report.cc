#include "cli/preflight/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "proto/preflight.pb.h"

namespace deeprack::cli {
namespace {

using nlohmann::ordered_json;

const char* NameOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kWarning:
      return "warning";
    case Verdict::kFail:
      return "fail";
  }
  return "";
}

const char* ColourOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "\x1b[32m";
    case Verdict::kWarning:
      return "\x1b[33m";
    case Verdict::kFail:
      return "\x1b[31m";
  }
  return "";
}

size_t CountOf(const Findings& findings, Verdict verdict) {
  return static_cast<size_t>(std::count_if(
      findings.begin(), findings.end(), [&](const Finding& finding) { return finding.verdict == verdict; }));
}

ordered_json JsonOf(const preflight::Host& host) {
  if (!host.failure().empty()) return {{"host", host.name()}, {"failure", host.failure()}};
  ordered_json cards = ordered_json::array();
  for (const preflight::Card& card : host.report().cards()) {
    cards.push_back({{"number", card.number()},
                     {"name", card.name()},
                     {"total_bytes", card.total_bytes()},
                     {"free_bytes", card.free_bytes()}});
  }
  return {{"host", host.name()},
          {"address", host.address()},
          {"version", host.report().version()},
          {"ranks", std::vector<int32_t>(host.ranks().begin(), host.ranks().end())},
          {"clock_offset_seconds", host.clock_offset()},
          {"clock_error_seconds", host.clock_error()},
          {"free_memory_bytes", host.report().free_memory()},
          {"cards", cards},
          {"coordinator",
           {{"round_trip_seconds", host.control().round_trip_seconds()},
            {"up_bytes_per_second", host.control().up_bytes_per_second()},
            {"down_bytes_per_second", host.control().down_bytes_per_second()},
            {"failure", host.control_failure()}}}};
}

}  // namespace

bool IsFit(const Findings& findings) { return CountOf(findings, Verdict::kFail) == 0; }

std::string ReportTable(const Findings& findings, bool colours) {
  size_t check_width = 0, subject_width = 0;
  for (const Finding& finding : findings) {
    check_width = std::max(check_width, finding.check.size());
    subject_width = std::max(subject_width, finding.subject.size());
  }
  std::string text;
  for (const Finding& finding : findings) {
    absl::StrAppendFormat(&text, "%s%-7s%s  %-*s  %-*s  %s\n", colours ? ColourOf(finding.verdict) : "",
                          NameOf(finding.verdict), colours ? "\x1b[0m" : "", static_cast<int>(check_width),
                          finding.check, static_cast<int>(subject_width), finding.subject, finding.found);
    if (!finding.remedy.empty()) absl::StrAppend(&text, std::string(9, ' '), finding.remedy, "\n");
  }
  const size_t failed = CountOf(findings, Verdict::kFail), warned = CountOf(findings, Verdict::kWarning);
  absl::StrAppend(&text, failed == 0 ? "fit to serve" : "not fit to serve", ": ", findings.size(), " rows, ",
                  failed, " failed, ", warned, " with a warning\n");
  return text;
}

std::string ReportJson(const Findings& findings, const preflight::Rack& rack) {
  ordered_json rows = ordered_json::array(), hosts = ordered_json::array(), links = ordered_json::array();
  for (const Finding& finding : findings) {
    rows.push_back({{"check", finding.check},
                    {"subject", finding.subject},
                    {"verdict", NameOf(finding.verdict)},
                    {"found", finding.found},
                    {"remedy", finding.remedy}});
  }
  for (const preflight::Host& host : rack.hosts()) hosts.push_back(JsonOf(host));
  for (const preflight::Link& link : rack.links()) {
    links.push_back({{"from", rack.hosts(link.from()).name()},
                     {"to", rack.hosts(link.to()).name()},
                     {"round_trip_seconds", link.figures().round_trip_seconds()},
                     {"bytes_per_second", link.figures().bytes_per_second()},
                     {"failure", link.failure()}});
  }
  const ordered_json report = {
      {"fit", IsFit(findings)}, {"findings", rows}, {"hosts", hosts}, {"links", links}};
  // Bytes of messages from other programs may not be UTF-8.
  return report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace deeprack::cli
