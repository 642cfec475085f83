#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/load/report.h"

namespace deeprack::cli {
namespace {

using Json = nlohmann::ordered_json;

Json Number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json Milliseconds(const Latency& latency) {
  return {{"mean", Number(latency.mean * 1e3)},
          {"p50", Number(latency.p50 * 1e3)},
          {"p90", Number(latency.p90 * 1e3)},
          {"p99", Number(latency.p99 * 1e3)},
          {"samples", latency.samples}};
}

Json Level(const LevelReport& level) {
  Json failures = Json::object();
  for (const auto& [kind, one] : level.failures)
    failures[kind] = {{"count", one.count}, {"example", one.example}};
  Json json = {{"name", level.name},
               {"load", level.load},
               {"requests", level.requests},
               {"succeeded", level.succeeded},
               {"failed", level.failed()},
               {"not_sent", level.not_sent},
               {"failures", failures},
               {"most_in_flight", level.most_in_flight},
               {"seconds", Number(level.seconds)},
               {"offered_requests_per_second", Number(level.offered_rate)},
               {"requests_per_second", Number(level.request_rate)},
               {"input_tokens", level.input_tokens},
               {"output_tokens", level.output_tokens},
               {"input_tokens_per_second", Number(level.input_rate)},
               {"output_tokens_per_second", Number(level.output_rate)},
               {"tokens_per_second_of_a_user", Number(level.user_rate)},
               {"tokens_per_event", Number(level.tokens_per_event)},
               {"ttft_ms", Milliseconds(level.first_token)},
               {"event_gap_ms", Milliseconds(level.event_gap)},
               {"tpot_ms", Milliseconds(level.output_token)},
               {"e2e_ms", Milliseconds(level.end_to_end)},
               {"goodput_requests_per_second", Number(level.goodput)},
               {"goodput_share", Number(level.goodput_share)},
               {"cache_hit_rate", Number(level.cache_hit_rate)},
               {"server_cache_hit_rate", Number(level.server_cache_hit_rate)}};
  if (level.server.has_value()) {
    json["server"] = {{"cache_queries", Number(level.server->cache_queries)},
                      {"cache_hits", Number(level.server->cache_hits)},
                      {"generated_tokens", Number(level.server->generated)},
                      {"preemptions", Number(level.server->preemptions)}};
  } else {
    json["server"] = nullptr;
  }
  json["client"] = {{"send_delay_ms", Milliseconds(level.send_delay)},
                    {"clock_delay_p99_ms", Number(level.client.loop_delay_p99 * 1e3)},
                    {"busiest_thread_share", Number(level.client.busiest_thread)},
                    {"cores", Number(level.client.cores)},
                    {"machine_share", Number(level.client.machine)},
                    {"was_bottleneck", !WhyClientWasTheBottleneck(level.client).empty()}};
  json["warnings"] = level.warnings;
  return json;
}

}  // namespace

std::string ReportJson(const LoadReport& report) {
  Json json = {{"target", report.target},
               {"model", report.model},
               {"date", report.date},
               {"loop", report.loop},
               {"workload", report.workload},
               {"seed", report.seed},
               {"objectives", report.objectives}};
  json["facts"] = Json::object();
  for (const auto& [name, fact] : report.facts) json["facts"][name] = fact;
  json["levels"] = Json::array();
  for (const LevelReport& level : report.levels) json["levels"].push_back(Level(level));
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace deeprack::cli
