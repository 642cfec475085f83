// What the facts of a rack mean. Pure functions: facts and limits in, one row for each check and host or link
// out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/preflight/finding.h"

namespace deeprack::preflight {
class Rack;
}

namespace deeprack::cli {

struct PreflightLimits {
  double least_bandwidth = 0;  // bytes per second of each link; 0: no floor
  double least_share = 0.5;    // of LinkReference::rate
  double most_clock_skew = 1;  // seconds
};

// What is usual between the hosts of a rack: the median over the hosts of each host's fastest link. A host
// with a bad cable has most links of a small rack, so the median link says little.
struct LinkReference {
  double rate = 0;        // bytes per second; 0: no link was measured
  double round_trip = 0;  // seconds
};
LinkReference ReferenceOf(const preflight::Rack& rack);

// Links whose round trip takes longer than kSlowRoundTrip times the usual and kSlowRoundTripSeconds more are
// warned about.
inline constexpr double kSlowRoundTrip = 4;
inline constexpr double kSlowRoundTripSeconds = 0.5e-3;

// Which hosts answer, and which have another build than `version`.
Findings JudgeAgents(const preflight::Rack& rack, const std::string& version);
Findings JudgeClocks(const preflight::Rack& rack, const PreflightLimits& limits);

// The way from each host to the coordinator's address `control`. `own`: this machine's address there, whose
// host is left out of the median. `http`: the address of the HTTP port, "" when hosts need not reach it.
Findings JudgeControl(const preflight::Rack& rack, const PreflightLimits& limits, const std::string& control,
                      const std::string& own, const std::string& http);

// Each ordered pair of hosts. With more than 20 links, links without a fault share one row.
Findings JudgeLinks(const preflight::Rack& rack, const PreflightLimits& limits);

// Compares each host's files with those of most machines, the command's machine included; with equal numbers,
// the command's machine is right. Files that ranks do not read are only warned about.
Findings JudgeModel(const preflight::Rack& rack);

// What one rank takes of its device, in bytes.
struct RankNeeds {
  int64_t fixed = 0;    // all but the KV cache
  int64_t cache = 0;    // --kv-bytes, or one page
  int64_t weights = 0;  // of fixed
};

struct RackNeeds {
  std::vector<RankNeeds> ranks;
  bool on_cards = false;     // each rank has a card of its own
  bool cache_given = false;  // by --kv-bytes; else a rank may take nine tenths of what is free
  bool packed = false;       // ranks write their weights into --packed
};

// Memory of each host or card against its ranks' needs.
Findings JudgeMemory(const preflight::Rack& rack, const RackNeeds& needs);
// Disk, temporary files, huge pages and limits. `connections`: --max-connections.
Findings JudgeMachines(const preflight::Rack& rack, const RackNeeds& needs, int64_t connections);
// The hosts' cards.
Findings JudgeCards(const preflight::Rack& rack, const RackNeeds& needs);

}  // namespace deeprack::cli
