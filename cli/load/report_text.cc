#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/load/report.h"
#include "cli/terminal/terminal.h"

namespace deeprack::cli {
namespace {

std::string Percent(double share) { return std::isnan(share) ? "-" : absl::StrFormat("%.1f%%", share * 100); }

void AddLatency(const char* name, const Latency& latency, std::string& text) {
  absl::StrAppendFormat(&text, "  %-18s %10s %10s %10s %10s\n", name, FormatSeconds(latency.mean),
                        FormatSeconds(latency.p50), FormatSeconds(latency.p90), FormatSeconds(latency.p99));
}

}  // namespace

std::string HeadText(const LoadReport& report) {
  std::string text = absl::StrCat(report.model, " at ", report.target, ": ", report.workload, "\n");
  for (const auto& [name, fact] : report.facts) absl::StrAppend(&text, "  ", name, ": ", fact, "\n");
  return text + "\n";
}

std::string LevelText(const LevelReport& level) {
  std::string text =
      absl::StrFormat("%s: %d requests, %d failed, %s, at most %d at once\n", level.name, level.requests,
                      level.failed(), FormatSeconds(level.seconds), level.most_in_flight);
  if (level.failed() > 0) {
    absl::StrAppend(&text, "  WARNING: ", level.failed(), " of ", level.requests, " requests failed; ",
                    level.succeeded > 0 ? "the figures are of the others alone" : "nothing was measured",
                    "\n");
  }
  absl::StrAppend(&text, "  requests/s ", FormatRate(level.request_rate));
  if (!std::isnan(level.offered_rate))
    absl::StrAppend(&text, " (offered ", FormatRate(level.offered_rate), ")");
  absl::StrAppend(&text, "   input tok/s ", FormatRate(level.input_rate), "   output tok/s ",
                  FormatRate(level.output_rate), "   tok/s a user ", FormatRate(level.user_rate), "\n");
  if (!std::isnan(level.goodput)) {
    absl::StrAppend(&text, "  goodput ", FormatRate(level.goodput), " requests/s, ",
                    Percent(level.goodput_share), " of the requests\n");
  }
  absl::StrAppend(&text, "  prompt tokens found in the prefix cache: ", Percent(level.cache_hit_rate),
                  " by the answers, ", Percent(level.server_cache_hit_rate), " by /metrics\n");
  absl::StrAppendFormat(&text, "  %-18s %10s %10s %10s %10s\n", "", "mean", "p50", "p90", "p99");
  AddLatency("first token", level.first_token, text);
  AddLatency("between events", level.event_gap, text);
  AddLatency("per output token", level.output_token, text);
  AddLatency("end to end", level.end_to_end, text);
  AddLatency("late sending", level.send_delay, text);
  absl::StrAppendFormat(
      &text,
      "  client: busiest thread %.0f%%, %.2f cores in all, clock late by %s (p99); machine %.0f%% "
      "busy\n",
      level.client.busiest_thread * 100, level.client.cores, FormatSeconds(level.client.loop_delay_p99),
      level.client.machine * 100);
  for (const auto& [kind, failures] : level.failures)
    absl::StrAppend(&text, "  failed: ", failures.count, " x ", kind, ": ", failures.example, "\n");
  if (level.not_sent > 0) {
    absl::StrAppend(&text, "  not sent: ", level.not_sent,
                    " later turns of sessions in which a turn failed\n");
  }
  for (const std::string& warning : level.warnings) absl::StrAppend(&text, "  WARNING: ", warning, "\n");
  return text + "\n";
}

std::string SweepTable(const LoadReport& report) {
  const std::vector<std::string> head = {
      "level",    "failed",  "requests/s", "input tok/s", "output tok/s", "tok/s a user", "TTFT p50",
      "TTFT p99", "gap p99", "TPOT p50",   "e2e p50",     "e2e p99",      "goodput/s",    "cached"};
  std::vector<std::vector<std::string>> rows = {head};
  for (const LevelReport& level : report.levels) {
    rows.push_back({level.name, absl::StrCat(level.failed()), FormatRate(level.request_rate),
                    FormatRate(level.input_rate), FormatRate(level.output_rate), FormatRate(level.user_rate),
                    FormatSeconds(level.first_token.p50), FormatSeconds(level.first_token.p99),
                    FormatSeconds(level.event_gap.p99), FormatSeconds(level.output_token.p50),
                    FormatSeconds(level.end_to_end.p50), FormatSeconds(level.end_to_end.p99),
                    FormatRate(level.goodput), Percent(level.cache_hit_rate)});
  }
  std::string text;
  for (size_t row = 0; row < rows.size(); ++row) {
    std::string line = "|", rule = "|";
    for (size_t column = 0; column < head.size(); ++column) {
      size_t width = 0;
      for (const auto& cells : rows) width = std::max(width, cells[column].size());
      absl::StrAppendFormat(&line, " %*s |", static_cast<int>(width), rows[row][column]);
      absl::StrAppend(&rule, std::string(width + 1, '-'), ":|");
    }
    absl::StrAppend(&text, line, "\n", row == 0 ? rule + "\n" : "");
  }
  return text;
}

}  // namespace deeprack::cli
