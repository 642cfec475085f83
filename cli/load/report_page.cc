#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/load/report.h"
#include "cli/load/svg_plot.h"

namespace deeprack::cli {
namespace {

constexpr char kStyle[] = R"css(
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --grid: #ddd; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #161616; --grid: #3a3a3a; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2em auto;
       max-width: 1180px; padding: 0 1em; }
.plots { display: flex; flex-wrap: wrap; gap: 1em; }
svg { width: 560px; max-width: 100%; font-size: 12px; }
svg text { fill: var(--ink); }
svg .title { font-size: 14px; font-weight: 600; }
svg .grid { stroke: var(--grid); stroke-width: 1; }
svg polyline { fill: none; stroke-width: 2; }
.line0 { stroke: #1f77b4; fill: #1f77b4; } .line1 { stroke: #d95f02; fill: #d95f02; }
.line2 { stroke: #2e9f4f; fill: #2e9f4f; } .line3 { stroke: #b03a8c; fill: #b03a8c; }
.line4 { stroke: #8c6d1f; fill: #8c6d1f; } .line5 { stroke: #5b5bd6; fill: #5b5bd6; }
svg polyline.line0, svg polyline.line1, svg polyline.line2, svg polyline.line3, svg polyline.line4,
svg polyline.line5 { fill: none; }
pre { overflow-x: auto; border: 1px solid var(--grid); padding: .8em; }
.warning { border-left: 4px solid #d95f02; padding-left: .8em; }
)css";

// One line of a plot: `value` of every level over `x` of the level.
template <class X, class Y>
PlotLine LineOver(const LoadReport& report, const char* name, X x, Y value, bool labels = false) {
  PlotLine line = {.name = name, .points = {}};
  for (const LevelReport& level : report.levels) {
    line.points.push_back(
        {.x = x(level), .y = value(level), .label = labels ? absl::StrFormat("%.3g", level.load) : ""});
  }
  return line;
}

// True when the loads of the sweep differ by more than a factor of 8.
bool SpansMuch(const LoadReport& report) {
  if (report.levels.empty()) return false;
  const auto [least, most] =
      std::minmax_element(report.levels.begin(), report.levels.end(),
                          [](const LevelReport& a, const LevelReport& b) { return a.load < b.load; });
  return least->load > 0 && most->load > 8 * least->load;
}

std::vector<Plot> PlotsOf(const LoadReport& report) {
  using Level = LevelReport;
  const auto load = [](const Level& level) { return level.load; };
  const std::string axis = report.loop == "closed" ? "sessions at once" : "requests offered a second";
  const bool doubling = SpansMuch(report);
  const auto latency = [&](const char* title, const char* y_axis, Latency Level::*of, double unit) {
    const auto p = [&](double Latency::*percentile) {
      return [=](const Level& level) { return level.*of.*percentile * unit; };
    };
    return Plot{.title = title,
                .x_axis = axis,
                .y_axis = y_axis,
                .lines = {LineOver(report, "p50", load, p(&Latency::p50)),
                          LineOver(report, "p90", load, p(&Latency::p90)),
                          LineOver(report, "p99", load, p(&Latency::p99))},
                .doubling_x = doubling};
  };
  std::vector<Plot> plots = {
      {.title = "Throughput against the pace of one user",
       .x_axis = "tokens per second of one user (1 / median time per output token)",
       .y_axis = "output tokens per second, all users",
       .lines = {LineOver(
           report, "level", [](const Level& level) { return level.user_rate; },
           [](const Level& level) { return level.output_rate; }, true)}},
      {.title = "Tokens per second against load",
       .x_axis = axis,
       .y_axis = "tokens per second",
       .lines = {LineOver(report, "input", load, [](const Level& level) { return level.input_rate; }),
                 LineOver(report, "output", load, [](const Level& level) { return level.output_rate; })},
       .doubling_x = doubling},
      latency("Time to first token against load", "milliseconds", &Level::first_token, 1e3),
      latency("Time between events against load", "milliseconds", &Level::event_gap, 1e3),
      latency("Time per output token against load", "milliseconds", &Level::output_token, 1e3),
      latency("End to end against load", "seconds", &Level::end_to_end, 1)};
  Plot requests = {
      .title = "Requests per second against load",
      .x_axis = axis,
      .y_axis = "requests per second",
      .lines = {LineOver(report, "succeeded", load, [](const Level& level) { return level.request_rate; })},
      .doubling_x = doubling};
  if (!report.objectives.empty()) {
    requests.lines.push_back(
        LineOver(report, "goodput", load, [](const Level& level) { return level.goodput; }));
  }
  plots.push_back(std::move(requests));
  return plots;
}

}  // namespace

std::string ReportPage(const LoadReport& report) {
  const std::string title = absl::StrCat("Load test of ", report.model, " at ", report.target);
  std::string page = absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
      HtmlText(title), "</title>\n<style>", kStyle, "</style>\n</head>\n<body>\n<h1>", HtmlText(title),
      "</h1>\n<p>", HtmlText(report.workload), ". ", HtmlText(report.date), ".</p>\n<ul>\n");
  for (const auto& [name, fact] : report.facts)
    absl::StrAppend(&page, "<li>", HtmlText(name), ": ", HtmlText(fact), "</li>\n");
  page += "</ul>\n";
  for (const LevelReport& level : report.levels) {
    for (const std::string& warning : level.warnings) {
      absl::StrAppend(&page, "<p class=\"warning\">", HtmlText(absl::StrCat(level.name, ": ", warning)),
                      "</p>\n");
    }
  }
  page += "<div class=\"plots\">\n";
  for (const Plot& plot : PlotsOf(report)) page += SvgOf(plot);
  absl::StrAppend(&page, "</div>\n<pre>", HtmlText(SweepTable(report)), "</pre>\n");
  for (const LevelReport& level : report.levels)
    absl::StrAppend(&page, "<pre>", HtmlText(LevelText(level)), "</pre>\n");
  return page + "</body>\n</html>\n";
}

}  // namespace deeprack::cli
