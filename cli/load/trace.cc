#include "cli/load/trace.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "cli/load/draws.h"

namespace deeprack::cli {
namespace {

using Json = nlohmann::json;

constexpr double kMostSeconds = 1e10;
constexpr size_t kLongestLine = size_t{1} << 24;

// Where a wrong line is, and what to do about it.
struct Place {
  const std::string& name;
  int64_t line;

  absl::Status Wrong(absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ", line ", line, ": ", what, "; correct the line or remove it"));
  }
};

absl::Status CheckTokens(int64_t tokens, const char* field, const Place& place) {
  if (tokens >= 1 && tokens <= kMostTokens) return absl::OkStatus();
  return place.Wrong(absl::StrCat(field, " is ", tokens, ", expected 1 to ", kMostTokens));
}

absl::Status CheckSeconds(double seconds, const char* field, const Place& place) {
  if (seconds >= 0 && seconds <= kMostSeconds) return absl::OkStatus();
  return place.Wrong(absl::StrCat(field, " is not a time from 0 to ", kMostSeconds, " seconds"));
}

absl::StatusOr<TraceRow> ReadMooncakeRow(const std::string& line, int64_t block_tokens, const Place& place) {
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return place.Wrong("this is no JSON object");
  const auto integer = [&](const char* key) -> absl::StatusOr<int64_t> {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_number_integer())
      return place.Wrong(absl::StrCat("\"", key, "\" is missing or no whole number"));
    return found->get<int64_t>();
  };
  TraceRow row;
  const auto time = json.find("timestamp");
  if (time == json.end() || !time->is_number())
    return place.Wrong("\"timestamp\" (milliseconds) is missing or no number");
  row.seconds = time->get<double>() / 1e3;
  DR_RETURN_IF_ERROR(CheckSeconds(row.seconds, "\"timestamp\"", place));
  DR_ASSIGN_OR_RETURN(row.input_tokens, integer("input_length"));
  DR_RETURN_IF_ERROR(CheckTokens(row.input_tokens, "\"input_length\"", place));
  DR_ASSIGN_OR_RETURN(row.output_tokens, integer("output_length"));
  DR_RETURN_IF_ERROR(CheckTokens(row.output_tokens, "\"output_length\"", place));
  const auto ids = json.find("hash_ids");
  if (ids == json.end() || ids->is_null()) return row;
  if (!ids->is_array()) return place.Wrong("\"hash_ids\" is no array");
  for (const Json& id : *ids) {
    if (!id.is_number_integer()) return place.Wrong("\"hash_ids\" holds something that is no whole number");
    row.blocks.push_back(id.get<uint64_t>());
  }
  const int64_t expected = (row.input_tokens + block_tokens - 1) / block_tokens;
  if (!row.blocks.empty() && static_cast<int64_t>(row.blocks.size()) != expected) {
    return place.Wrong(absl::StrCat("\"hash_ids\" has ", row.blocks.size(), " blocks, but ", row.input_tokens,
                                    " tokens are ", expected, " blocks of ", block_tokens,
                                    " tokens; if the trace's blocks have another length, state it with "
                                    "--trace-block"));
  }
  return row;
}

// Where BurstGPT's columns are in a line.
struct Columns {
  size_t time = 0, input = 0, output = 0;
};

absl::StatusOr<Columns> ReadHeader(const std::string& line, const Place& place) {
  const std::vector<std::string> names = absl::StrSplit(line, ',');
  Columns columns;
  const std::pair<const char*, size_t*> wanted[] = {
      {"Timestamp", &columns.time}, {"Request tokens", &columns.input}, {"Response tokens", &columns.output}};
  for (const auto& [name, index] : wanted) {
    const auto found =
        std::find_if(names.begin(), names.end(), [&, wanted_name = name](const std::string& one) {
          return absl::StripAsciiWhitespace(one) == wanted_name;
        });
    if (found == names.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          place.name, ", line ", place.line, ": no column '", name,
          "'. A trace is JSON lines as Mooncake's ({\"timestamp\": ...) or CSV with BurstGPT's header "
          "(Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type)"));
    }
    *index = static_cast<size_t>(found - names.begin());
  }
  return columns;
}

absl::StatusOr<TraceRow> ReadBurstRow(const std::string& line, const Columns& columns, const Place& place) {
  const std::vector<absl::string_view> cells = absl::StrSplit(line, ',');
  const size_t last = std::max({columns.time, columns.input, columns.output});
  if (cells.size() <= last)
    return place.Wrong(absl::StrCat("the line has ", cells.size(), " columns, expected ", last + 1));
  TraceRow row;
  if (!absl::SimpleAtod(cells[columns.time], &row.seconds))
    return place.Wrong(absl::StrCat("Timestamp '", cells[columns.time], "' is no number of seconds"));
  DR_RETURN_IF_ERROR(CheckSeconds(row.seconds, "Timestamp", place));
  if (!absl::SimpleAtoi(cells[columns.input], &row.input_tokens))
    return place.Wrong(absl::StrCat("Request tokens '", cells[columns.input], "' is no whole number"));
  if (!absl::SimpleAtoi(cells[columns.output], &row.output_tokens))
    return place.Wrong(absl::StrCat("Response tokens '", cells[columns.output], "' is no whole number"));
  if (row.output_tokens == 0) return row;  // a request that failed; the caller leaves the row out
  DR_RETURN_IF_ERROR(CheckTokens(row.input_tokens, "Request tokens", place));
  DR_RETURN_IF_ERROR(CheckTokens(row.output_tokens, "Response tokens", place));
  return row;
}

// Reads a line of any ending. False: there is none.
bool NextLine(std::istream& in, std::string& line, int64_t& number) {
  while (std::getline(in, line)) {
    ++number;
    absl::StripTrailingAsciiWhitespace(&line);
    if (!line.empty()) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<Trace> ReadTrace(std::istream& in, const std::string& name, int64_t block_tokens) {
  Trace trace = {.format = {}, .rows = {}, .failed_rows = 0, .block_tokens = block_tokens};
  std::string line;
  int64_t number = 0;
  Columns columns;
  bool more = NextLine(in, line, number);
  const bool mooncake = more && line[0] == '{';
  trace.format = mooncake ? "Mooncake" : "BurstGPT";
  if (more && !mooncake) {
    DR_ASSIGN_OR_RETURN(columns, ReadHeader(line.substr(0, 1000), {name, number}));
    more = NextLine(in, line, number);
  }
  for (; more; more = NextLine(in, line, number)) {
    const Place place = {name, number};
    if (line.size() > kLongestLine)
      return place.Wrong(
          absl::StrCat("the line has ", line.size(), " bytes, expected at most ", kLongestLine));
    DR_ASSIGN_OR_RETURN(TraceRow row, mooncake ? ReadMooncakeRow(line, block_tokens, place)
                                               : ReadBurstRow(line, columns, place));
    if (row.output_tokens == 0) {
      ++trace.failed_rows;
    } else {
      trace.rows.push_back(std::move(row));
    }
  }
  if (trace.rows.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": the trace has no request; expected a line of JSON or of CSV for each request"));
  }
  const auto earlier = [](const TraceRow& a, const TraceRow& b) { return a.seconds < b.seconds; };
  std::stable_sort(trace.rows.begin(), trace.rows.end(), earlier);
  const double start = trace.rows.front().seconds;
  for (TraceRow& row : trace.rows) row.seconds -= start;
  return trace;
}

absl::StatusOr<Trace> ReadTraceFile(const std::string& path, int64_t block_tokens) {
  std::ifstream in(path);
  if (!in) return absl::NotFoundError(absl::StrCat(path, ": the trace cannot be read"));
  return ReadTrace(in, path, block_tokens);
}

std::vector<SessionPlan> SessionsOfTrace(const Trace& trace, int64_t requests, double time_scale,
                                         const std::vector<double>& starts, uint64_t seed) {
  enum Purpose : uint64_t { kBlocks, kTexts };
  const size_t all = trace.rows.size();
  const size_t count = requests > 0 ? std::min(all, static_cast<size_t>(requests)) : all;
  std::vector<SessionPlan> sessions(count);
  for (size_t i = 0; i < count; ++i) {
    const TraceRow& row = trace.rows[i];
    Turn turn = {.parts = {}, .output_tokens = row.output_tokens, .think_seconds = 0};
    int64_t left = row.input_tokens;
    for (const uint64_t block : row.blocks) {
      const int64_t tokens = std::min(left, trace.block_tokens);
      turn.parts.push_back({.id = MixSeed(seed, kBlocks, block), .tokens = tokens});
      left -= tokens;
    }
    if (left > 0) turn.parts.push_back({.id = MixSeed(seed, kTexts, i), .tokens = left});
    sessions[i].start_seconds = starts.empty() ? row.seconds * time_scale : starts[i];
    sessions[i].turns.push_back(std::move(turn));
  }
  return sessions;
}

}  // namespace deeprack::cli
