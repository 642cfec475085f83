// The figures of one level of load, over the records of its requests. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/load/client_strain.h"
#include "cli/load/objectives.h"
#include "cli/load/request_record.h"
#include "cli/load/server_counters.h"

namespace deeprack::cli {

// Seconds. NaN without samples.
struct Latency {
  double mean = 0, p50 = 0, p90 = 0, p99 = 0;
  int64_t samples = 0;
};

Latency LatencyOf(std::vector<double> seconds);

struct Failures {
  int64_t count = 0;
  std::string example;  // the message of the first one
};

// Rates are per second. A value that nothing measures is NaN.
struct LevelReport {
  std::string name;  // "concurrency 4", "rate 2/s"
  double load = 0;   // the number in the name, for plots

  int64_t requests = 0;  // sent, without the warm-up
  int64_t succeeded = 0;
  int64_t not_sent = 0;  // later turns of sessions in which a turn failed
  std::map<std::string, Failures> failures;
  int64_t most_in_flight = 0;  // requests between sending and end, at once
  double offered_rate = 0;  // requests in the plan over the plan's time; NaN where answers decide the times

  // From the first request sent to the last end. Tokens and rates are of requests that succeeded.
  double seconds = 0;
  int64_t input_tokens = 0, output_tokens = 0;
  double request_rate = 0, input_rate = 0, output_rate = 0;
  double user_rate = 0;         // tokens a second that one user sees: 1 / median time per output token
  double tokens_per_event = 0;  // of the stream's events that carry tokens

  Latency first_token, event_gap, output_token, end_to_end;  // of requests that succeeded

  double goodput = 0;        // requests a second that keep all objectives; NaN without objectives
  double goodput_share = 0;  // of all requests sent

  double cache_hit_rate = 0;             // cached prompt tokens over prompt tokens, by the answers' usage
  std::optional<ServerCounters> server;  // what the server counted during the level
  double server_cache_hit_rate = 0;      // the same by the server's counters

  Latency send_delay;  // of all requests, planned to sent
  ClientStrain client;
  std::vector<std::string> warnings;

  int64_t failed() const { return requests - succeeded; }
};

// What a level is, besides its records.
struct LevelFacts {
  std::string name;
  double load = 0;
  int64_t not_sent = 0;
  bool planned_times = false;   // the times of all requests stand before the level begins
  bool shares_prompts = false;  // prompts of the workload share beginnings by design
  std::optional<ServerCounters> server;
  ClientStrain client;  // without send_delay_p99, which the records give
};

LevelReport MakeLevelReport(std::span<const RequestRecord> records, const Objectives& objectives,
                            const LevelFacts& facts);

}  // namespace deeprack::cli
