// What `deeprack preflight` prints.
#pragma once

#include <string>

#include "cli/preflight/finding.h"

namespace deeprack::preflight {
class Rack;
}

namespace deeprack::cli {

// True when no finding fails.
bool IsFit(const Findings& findings);

// A line for each finding, aligned, with the remedy on a line of its own; then a line with the sum.
std::string ReportTable(const Findings& findings, bool colours);

// An object: fit, findings (check, subject, verdict, found, remedy), hosts and links with their numbers.
std::string ReportJson(const Findings& findings, const preflight::Rack& rack);

}  // namespace deeprack::cli
