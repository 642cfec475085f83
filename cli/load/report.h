// The report of a load test: what was asked, how it was measured, and a level's figures for each level. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cli/load/level_report.h"

namespace deeprack::cli {

struct LoadReport {
  std::string target;  // host:port
  std::string model;
  std::string date;      // UTC
  std::string loop;      // "closed", "open" or "trace": what a level's number means
  std::string workload;  // in words
  uint64_t seed = 0;
  std::string objectives;                                  // as Objectives::Text
  std::vector<std::pair<std::string, std::string>> facts;  // more about the run, for people: name and text
  std::vector<LevelReport> levels;
};

// How tokens were counted, and other facts, one a line.
std::string HeadText(const LoadReport& report);
// A block of lines for one level.
std::string LevelText(const LevelReport& level);
// One table over all levels.
std::string SweepTable(const LoadReport& report);

// One JSON object with all figures; numbers that were not measured are null. Times are milliseconds.
std::string ReportJson(const LoadReport& report);

// A page of HTML that stands alone: plots as inline SVG, tables, no script, nothing from elsewhere.
std::string ReportPage(const LoadReport& report);

}  // namespace deeprack::cli
