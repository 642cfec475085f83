// The pure parts of `deeprack load`: schedules, workloads, traces, figures, the rule of the client's strain.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <sstream>

#include "cli/load/answer_stream.h"
#include "cli/load/arrivals.h"
#include "cli/load/level_report.h"
#include "cli/load/load_options.h"
#include "cli/load/machine_time.h"
#include "cli/load/prompt_text.h"
#include "cli/load/report.h"
#include "cli/load/svg_plot.h"
#include "cli/load/trace.h"

namespace deeprack::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The gaps between arrivals.
std::vector<double> Gaps(double rate, double burstiness, uint64_t seed) {
  std::vector<double> times = ArrivalTimes(rate, burstiness, 20'001, seed);
  EXPECT_EQ(times[0], 0);
  std::vector<double> gaps(times.size());
  std::adjacent_difference(times.begin(), times.end(), gaps.begin());
  gaps.erase(gaps.begin());
  return gaps;
}

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double Variance(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += (value - Mean(values)) * (value - Mean(values));
  return sum / static_cast<double>(values.size());
}

// A gamma distribution of shape b and mean 1 / r has the variance 1 / (b r^2).
TEST(ArrivalTimes, AreGammaDistributed) {
  for (const double burstiness : {0.25, 1.0, 4.0}) {
    const std::vector<double> gaps = Gaps(8, burstiness, 7);
    EXPECT_NEAR(Mean(gaps), 1.0 / 8, 0.05 / 8) << burstiness;
    const double variance = 1 / (burstiness * 64);
    EXPECT_NEAR(Variance(gaps), variance, 0.1 * variance) << burstiness;
  }
  // A Poisson process: the share of gaps beyond the mean is 1 / e.
  const std::vector<double> gaps = Gaps(8, 1, 7);
  const auto longer = std::count_if(gaps.begin(), gaps.end(), [](double gap) { return gap > 1.0 / 8; });
  EXPECT_NEAR(static_cast<double>(longer) / 20'000, std::exp(-1), 0.01);
}

TEST(ArrivalTimes, FollowTheSeed) {
  EXPECT_EQ(ArrivalTimes(3, 0.5, 50, 1), ArrivalTimes(3, 0.5, 50, 1));
  EXPECT_NE(ArrivalTimes(3, 0.5, 50, 1), ArrivalTimes(3, 0.5, 50, 2));
}

TEST(Workload, AnAgentsSessionsShareTheirSystemPrompt) {
  WorkloadShape shape = *NamedWorkload("agent");
  shape.turns = 3;
  shape.prefixes = 1;
  const std::vector<SessionPlan> sessions = MakeSessions(shape, 8, {0, 1.5, 3}, 5);
  ASSERT_EQ(sessions.size(), 3u);
  EXPECT_EQ(SessionsFor(shape, 8), 3);
  EXPECT_EQ(sessions[0].turns.size(), 3u);
  EXPECT_EQ(sessions[2].turns.size(), 2u) << "8 requests in all";
  EXPECT_EQ(sessions[1].start_seconds, 1.5);
  EXPECT_EQ(sessions[0].system, sessions[2].system);
  EXPECT_EQ(sessions[0].system[0].tokens, shape.prefix_tokens);
  EXPECT_NE(sessions[0].turns[0].parts[0].id, sessions[1].turns[0].parts[0].id);
  EXPECT_EQ(sessions[0].turns[0].think_seconds, 0);
  EXPECT_GT(sessions[0].turns[1].think_seconds, 0);
  EXPECT_EQ(sessions, MakeSessions(shape, 8, {0, 1.5, 3}, 5));
  EXPECT_NE(sessions, MakeSessions(shape, 8, {0, 1.5, 3}, 6));
  EXPECT_NE(sessions[0].system, MakeSessions(shape, 8, {}, 6)[0].system);
}

TEST(Workload, LengthsStayWithinTheSpread) {
  const WorkloadShape shape = {.input_tokens = 100, .output_tokens = 10, .spread = 0.2};
  double sum = 0;
  for (const SessionPlan& session : MakeSessions(shape, 2000, {}, 3)) {
    const int64_t tokens = session.turns[0].parts[0].tokens;
    EXPECT_TRUE(tokens >= 80 && tokens <= 120) << tokens;
    sum += static_cast<double>(tokens);
  }
  EXPECT_NEAR(sum / 2000, 100, 2);
}

TEST(PromptText, MoreWordsBeginWithFewer) {
  const std::string few = Words(9, 20), many = Words(9, 50);
  EXPECT_EQ(std::count(few.begin(), few.end(), ' '), 19);
  EXPECT_EQ(many.substr(0, few.size() + 1), few + " ");
  EXPECT_NE(Words(10, 20), few);
}

TEST(PromptText, HasTheTokensThatAreAskedFor) {
  const TokenScale scale = MeasureScale(16, 44, 112, 236);
  EXPECT_TRUE(scale.measured);
  EXPECT_DOUBLE_EQ(scale.tokens_per_word, 2);
  EXPECT_DOUBLE_EQ(scale.tokens_around, 12);
  // 100 tokens less the 12 around them, in the last part; the first part keeps its length.
  EXPECT_EQ(TextOf({{.id = 1, .tokens = 40}, {.id = 2, .tokens = 60}}, scale, scale.tokens_around),
            Words(1, 20) + " " + Words(2, 24));
  EXPECT_EQ(TextOf({{.id = 2, .tokens = 1}}, scale, 12), Words(2, 1));
  EXPECT_FALSE(MeasureScale(16, 44, 112, 44).measured);
}

absl::StatusOr<Trace> Read(const std::string& text) {
  std::istringstream in(text);
  return ReadTrace(in, "t", 512);
}

TEST(Trace, ReadsMooncakes) {
  const auto trace = Read(
      "{\"timestamp\": 2500, \"input_length\": 600, \"output_length\": 7, \"hash_ids\": [0, 9]}\r\n\n"
      "{\"timestamp\": 1000, \"input_length\": 1025, \"output_length\": 5, \"hash_ids\": [0, 1, 2]}\n");
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->format, "Mooncake");
  ASSERT_EQ(trace->rows.size(), 2u);
  EXPECT_EQ(trace->rows[0].seconds, 0) << "the rows are in the order of time";
  EXPECT_EQ(trace->rows[1].seconds, 1.5);
  EXPECT_THAT(trace->rows[0].blocks, ElementsAre(0, 1, 2));

  const std::vector<SessionPlan> sessions = SessionsOfTrace(*trace, 0, 2, {}, 4);
  ASSERT_EQ(sessions.size(), 2u);
  EXPECT_EQ(sessions[1].start_seconds, 3) << "twice as slow";
  const std::vector<TextPart>& long_prompt = sessions[0].turns[0].parts;
  ASSERT_EQ(long_prompt.size(), 3u);
  EXPECT_EQ(long_prompt[0], sessions[1].turns[0].parts[0]) << "equal ids are equal text";
  EXPECT_EQ(long_prompt[2].tokens, 1);
  EXPECT_EQ(sessions[1].turns[0].parts[1].tokens, 88);
  EXPECT_NE(long_prompt[1].id, sessions[1].turns[0].parts[1].id);
  EXPECT_EQ(sessions[1].turns[0].output_tokens, 7);
  EXPECT_NE(SessionsOfTrace(*trace, 1, 1, {}, 5)[0].turns[0].parts[0].id, long_prompt[0].id);
}

TEST(Trace, ReadsBurstGpts) {
  const auto trace = Read(
      "Timestamp,Session ID,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
      "5,1,ChatGPT,472,18,490,Conversation log\n6,1,GPT-4,417,0,417,API log\n7.5,2,GPT-4,30,4,34,API log\n");
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->format, "BurstGPT");
  EXPECT_EQ(trace->failed_rows, 1);
  ASSERT_EQ(trace->rows.size(), 2u);
  EXPECT_EQ(trace->rows[1].seconds, 2.5);
  EXPECT_EQ(trace->rows[1].input_tokens, 30);
  EXPECT_EQ(trace->rows[0].output_tokens, 18);
  const std::vector<SessionPlan> sessions = SessionsOfTrace(*trace, 0, 1, {0, 9}, 4);
  EXPECT_EQ(sessions[1].start_seconds, 9);
  EXPECT_NE(sessions[0].turns[0].parts[0].id, sessions[1].turns[0].parts[0].id) << "nothing is shared";
}

TEST(Trace, SaysWhereALineIsWrong) {
  const std::string good =
      "{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 7, \"hash_ids\": [0, 9]}\n";
  const std::string head = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n";
  const std::pair<std::string, std::string> cases[] = {
      {"", "t: the trace has no request"},
      {"5,ChatGPT,472,18\n", "t, line 1: no column 'Timestamp'"},
      {head, "t: the trace has no request"},
      {head + "1,m,2,3\n\nx,m,2,3\n", "t, line 4: Timestamp 'x' is no number of seconds; correct the line"},
      {head + "1,m,2\n", "t, line 2: the line has 3 columns, expected 4"},
      {head + "1,m,-2,3\n", "t, line 2: Request tokens is -2, expected 1 to 16777216"},
      {head + "1,m,2,3.5\n", "t, line 2: Response tokens '3.5' is no whole number"},
      {head + "nan,m,2,3\n", "t, line 2: Timestamp is not a time"},
      {good + "{\"timestamp\": 0\n", "t, line 2: this is no JSON object; correct the line or remove it"},
      {good + "{\"timestamp\": 0, \"output_length\": 7}\n",
       "line 2: \"input_length\" is missing or no whole number"},
      {"{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 0}",
       "\"output_length\" is 0, expected 1 to"},
      {"{\"timestamp\": -1, \"input_length\": 6, \"output_length\": 1}",
       "\"timestamp\" is not a time from 0"},
      {"{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 1, \"hash_ids\": [1]}",
       "\"hash_ids\" has 1 blocks, but 600 tokens are 2 blocks of 512 tokens; if the trace's blocks have "
       "another "
       "length, state it with --trace-block"},
      {"{\"timestamp\": 0, \"input_length\": 6, \"output_length\": 1, \"hash_ids\": [\"a\"]}",
       "no whole number"}};
  for (const auto& [text, message] : cases) {
    const auto trace = Read(text);
    EXPECT_TRUE(absl::IsInvalidArgument(trace.status())) << text;
    EXPECT_THAT(std::string(trace.status().message()), HasSubstr(message)) << text;
  }
}

TEST(Objectives, AreReadAndKept) {
  const auto objectives = ParseObjectives("ttft:500,tpot:50,e2e:2000");
  ASSERT_TRUE(objectives.ok());
  EXPECT_EQ(objectives->Text(), "ttft:500,tpot:50,e2e:2000");
  RequestRecord record = {.sent = 10, .first = 10.5, .last = 11, .ended = 12, .output_tokens = 11};
  EXPECT_TRUE(Keeps(record, *objectives)) << "0.5 s, 50 ms, 2 s: exactly the limits";
  record.output_tokens = 10;
  EXPECT_FALSE(Keeps(record, *objectives)) << "0.5 s / 9";
  EXPECT_TRUE(Keeps(record, *ParseObjectives("ttft:500")));
  record.error_kind = "refused";
  EXPECT_FALSE(Keeps(record, *ParseObjectives("ttft:500")));
  EXPECT_EQ(ParseObjectives("e2el:5")->end_to_end, 0.005);
  for (const char* wrong : {"", "ttft", "ttft:0", "ttft:x", "itl:5", "ttft:5,ttft:6", "ttft:5:6", "ttft:inf"})
    EXPECT_FALSE(ParseObjectives(wrong).ok()) << wrong;
}

// A request with three tokens: sent at `sent`, 1 s to the first token, then 0.5 s a token.
RequestRecord Good(double sent) {
  return {.planned = sent - 0.002,
          .sent = sent,
          .first = sent + 1,
          .last = sent + 2,
          .ended = sent + 2.5,
          .prompt_tokens = 10,
          .cached_tokens = 4,
          .output_tokens = 3,
          .token_events = 2,
          .event_gaps = {1}};
}

TEST(LevelReport, CountsWhatSucceededOverTheWholeTime) {
  std::vector<RequestRecord> records = {Good(0), Good(1), Good(5.5)};
  records.push_back(
      {.planned = 2, .sent = 2, .ended = 10, .error_kind = "http 429 busy", .error_message = "first"});
  records.push_back(
      {.planned = 3, .sent = 3, .ended = 3.1, .error_kind = "http 429 busy", .error_message = "second"});
  records.push_back({.planned = 3, .sent = 3, .ended = 4, .error_kind = "refused"});
  const LevelReport report = MakeLevelReport(records, *ParseObjectives("ttft:1500"),
                                             {.name = "rate 2", .load = 2, .planned_times = true});
  EXPECT_EQ(report.requests, 6);
  EXPECT_EQ(report.succeeded, 3);
  EXPECT_EQ(report.failures.at("http 429 busy").count, 2);
  EXPECT_EQ(report.failures.at("http 429 busy").example, "first");
  EXPECT_EQ(report.failures.at("refused").count, 1);
  EXPECT_DOUBLE_EQ(report.seconds, 10);
  EXPECT_DOUBLE_EQ(report.request_rate, 0.3);
  EXPECT_DOUBLE_EQ(report.input_rate, 3);
  EXPECT_DOUBLE_EQ(report.output_rate, 0.9);
  EXPECT_DOUBLE_EQ(report.tokens_per_event, 1.5);
  EXPECT_DOUBLE_EQ(report.first_token.p50, 1);
  EXPECT_DOUBLE_EQ(report.output_token.mean, 0.5);
  EXPECT_DOUBLE_EQ(report.user_rate, 2);
  EXPECT_DOUBLE_EQ(report.event_gap.p99, 1);
  EXPECT_EQ(report.event_gap.samples, 3);
  EXPECT_DOUBLE_EQ(report.end_to_end.p90, 2.5);
  EXPECT_DOUBLE_EQ(report.goodput, 0.3);
  EXPECT_DOUBLE_EQ(report.goodput_share, 0.5);
  EXPECT_DOUBLE_EQ(report.cache_hit_rate, 0.4);
  EXPECT_EQ(report.most_in_flight, 4);  // at 3 s: the second, and the three that fail
  EXPECT_NEAR(report.offered_rate, 5 / 5.5, 1e-12);
  EXPECT_TRUE(std::isnan(report.server_cache_hit_rate));
  EXPECT_THAT(report.warnings, IsEmpty());
}

TEST(LevelReport, WithoutASuccessNothingIsMeasured) {
  const std::vector<RequestRecord> records = {{.sent = 1, .ended = 2, .error_kind = "time-out"}};
  const LevelReport report = MakeLevelReport(records, {}, {.name = "x"});
  EXPECT_EQ(report.request_rate, 0);
  EXPECT_TRUE(std::isnan(report.input_rate)) << "no answer has said how many";
  EXPECT_TRUE(std::isnan(report.first_token.p99) && std::isnan(report.goodput) &&
              std::isnan(report.user_rate));
  EXPECT_THAT(LevelText(report), HasSubstr("failed: 1 x time-out"));
  EXPECT_THAT(LevelText(report), HasSubstr("WARNING: 1 of 1 requests failed; nothing was measured\n"));
}

TEST(LevelReport, SaysThatPromptsWereInTheCacheBefore) {
  std::vector<RequestRecord> records = {Good(0)};
  records[0].cached_tokens = 9;
  EXPECT_THAT(MakeLevelReport(records, {}, {}).warnings, ElementsAre(HasSubstr("Use another --seed")));
  EXPECT_THAT(MakeLevelReport(records, {}, {.shares_prompts = true}).warnings, IsEmpty());
}

TEST(ClientStrain, NamesTheBottleneck) {
  EXPECT_EQ(
      WhyClientWasTheBottleneck({.busiest_thread = 0.8, .loop_delay_p99 = 0.01, .send_delay_p99 = 0.01}), "");
  EXPECT_THAT(WhyClientWasTheBottleneck({.busiest_thread = 0.93}), HasSubstr("computed 93% of the time"));
  EXPECT_THAT(WhyClientWasTheBottleneck({.loop_delay_p99 = 0.02, .machine = 1}),
              HasSubstr("its clock ticked 20.0 ms late"));
  EXPECT_THAT(WhyClientWasTheBottleneck({.loop_delay_p99 = 0.02, .send_delay_p99 = 0.5}),
              HasSubstr("its requests were sent 500.0 ms late"));
  std::vector<RequestRecord> records = {Good(0)};
  records[0].planned = -0.5;
  EXPECT_THAT(MakeLevelReport(records, {}, {}).warnings,
              ElementsAre(HasSubstr("the client was the bottleneck")));
}

TEST(MachineTime, IsTheShareOfBusyTicks) {
  const MachineTime before = ParseMachineTime("cpu  100 0 50 800 50 0 0 0 70 0");
  EXPECT_EQ(before.busy, 150);
  EXPECT_EQ(before.total, 1000);
  EXPECT_DOUBLE_EQ(BusyShare(before, ParseMachineTime("cpu  160 0 65 820 55 0 0 0 90 0")), 0.75);
  EXPECT_EQ(BusyShare(before, before), 0);
}

TEST(ServerCounters, AreSumsOverLabels) {
  const std::string page =
      "# HELP vllm:prefix_cache_queries_total x\nvllm:prefix_cache_queries_total{m=\"a{b}\",e=\"0\"} 100\n"
      "vllm:prefix_cache_queries_total{m=\"a\",e=\"1\"} 20.5 1700000000\nvllm:prefix_cache_hits_total 60\n"
      "vllm:prefix_cache_hits_total_created 5\n";
  EXPECT_DOUBLE_EQ(SumOfMetric(page, "vllm:prefix_cache_queries_total"), 120.5);
  EXPECT_DOUBLE_EQ(SumOfMetric(page, "vllm:prefix_cache_hits_total"), 60);
  const auto counters = ReadServerCounters(page);
  ASSERT_TRUE(counters.has_value());
  EXPECT_TRUE(std::isnan(counters->generated));
  EXPECT_DOUBLE_EQ(Difference({.cache_hits = 10}, *counters).cache_hits, 50);
  EXPECT_FALSE(ReadServerCounters("other 1\n").has_value());
}

std::string Event(const std::string& choice, const std::string& usage) {
  return "data: {\"choices\": [" + choice + "]" + (usage.empty() ? "" : ", \"usage\": " + usage) + "}\n\n";
}
std::string Content(const std::string& text) { return "{\"delta\": {\"content\": \"" + text + "\"}}"; }
std::string Usage(int tokens) {
  return "{\"prompt_tokens\": 8, \"completion_tokens\": " + std::to_string(tokens) +
         ", \"prompt_tokens_details\": {\"cached_tokens\": 4}}";
}

TEST(AnswerStream, CountsByTheUsageOfEachEvent) {
  RequestRecord record;
  AnswerStream stream(record, true);
  stream.Feed(Event("{\"delta\": {\"role\": \"assistant\", \"content\": \"\"}}", Usage(0)), 1);
  EXPECT_EQ(record.token_events, 0) << "the role is no token";
  stream.Feed(Event(Content("a"), Usage(2)), 2);
  stream.Feed(Event(Content(""), Usage(3)), 3);  // a token whose bytes are a part of a character
  stream.Feed(Event("{\"delta\": {\"reasoning_content\": \"b\"}}", Usage(4)), 5);
  stream.Feed(Event("{\"delta\": {}, \"finish_reason\": \"stop\"}", Usage(4)) + Event("", Usage(4)), 6);
  EXPECT_FALSE(stream.done());
  stream.Feed("data: [DONE]\n\n", 7);
  EXPECT_TRUE(stream.done() && record.ok());
  EXPECT_EQ(record.token_events, 3);
  EXPECT_THAT(record.event_gaps, ElementsAre(1, 2));
  EXPECT_EQ(record.first, 2);
  EXPECT_EQ(record.last, 5);
  EXPECT_EQ(record.ended, 7);
  EXPECT_EQ(record.output_tokens, 4);
  EXPECT_EQ(record.prompt_tokens, 8);
  EXPECT_EQ(record.cached_tokens, 4);
  EXPECT_EQ(record.answer, "a");
}

TEST(AnswerStream, CountsByTheUsageAtTheEndOrByEvents) {
  RequestRecord record, without;
  AnswerStream stream(record, false), stream_without(without, false);
  const std::string two = Event("{\"text\": \"a\"}", "null") + Event("{\"text\": \"b\"}", "");
  stream.Feed(two, 1);
  EXPECT_EQ(record.output_tokens, 2);
  stream.Feed(Event("", Usage(5)) + "data: [DONE]\n\n", 2);
  EXPECT_EQ(record.output_tokens, 5);
  EXPECT_EQ(record.token_events, 2) << "the usage alone is no token";
  EXPECT_EQ(record.last, 1);
  EXPECT_EQ(record.answer, "");
  stream_without.Feed(two + "data: [DONE]\n\n", 1);
  EXPECT_EQ(without.output_tokens, 2);
  EXPECT_EQ(without.prompt_tokens, -1);
}

TEST(AnswerStream, NamesWhatBrokeIt) {
  const std::pair<std::string, std::string> cases[] = {
      {"data: {\"error\": {\"message\": \"m\", \"code\": \"overloaded\"}}\n\n", "error event overloaded"},
      {"data: {\"error\": \"m\"}\n\n", "error event"},
      {"data: nonsense\n\n", "bad event"},
      {"data: [DONE]\n\n", "no token"},
      {Event(Content("a"), ""), "broken stream"}};
  for (const auto& [bytes, kind] : cases) {
    RequestRecord record;
    AnswerStream stream(record, false);
    stream.Feed(bytes, 3);
    stream.End("closed", 4);
    EXPECT_EQ(record.error_kind, kind);
    EXPECT_EQ(record.ended, kind == "broken stream" ? 4 : 3);
  }
}

TEST(LoadOptions, SayWhatDoesNotGoTogether) {
  const std::pair<LoadOptions, std::string> cases[] = {
      {{.concurrency = {1}, .rate = {1}}, "choose one of them"},
      {{.burstiness = 0.5}, "give --rate"},
      {{.time_scale = {2}}, "give --trace"},
      {{.rate = {2}, .time_scale = {2}, .trace = "t"}, "without --rate"},
      {{.workload = "chat", .trace = "t"}, "choose one of them"},
      {{.trace = "t", .input_tokens = 5}, "do not go with it"},
      {{.trace_block = 16}, "give --trace"},
      {{.workload = "poem"}, "there are chat, long-prompt, shared-prefix, agent"},
      {{.workload = "chat", .prefix_tokens = 5}, "--workload shared-prefix or agent"},
      {{.workload = "shared-prefix", .turns = 5}, "--workload agent"},
      {{.concurrency = {4}, .requests = 12, .workload = "agent"}, "ask for 24 at least"},
      {{.concurrency = {0}}, "--concurrency is 0; expected 1 to 65536"},
      {{.rate = {NAN}}, "--rate is nan"},
      {{.spread = 1.5}, "--spread is 1.5; expected 0 to 1"},
      {{.goodput = "itl:4"}, "--goodput: 'itl:4' is no objective"},
      {{.api = "words"}, "expected chat or completions"}};
  for (const auto& [options, message] : cases) {
    const auto test = CheckLoadOptions(options);
    EXPECT_TRUE(absl::IsInvalidArgument(test.status())) << message;
    EXPECT_THAT(std::string(test.status().message()), HasSubstr(message));
  }
}

TEST(LoadOptions, HaveDefaults) {
  const auto chat = CheckLoadOptions({});
  ASSERT_TRUE(chat.ok());
  EXPECT_EQ(chat->workload, "chat");
  EXPECT_THAT(chat->levels, ElementsAre(1, 4, 16));
  EXPECT_EQ(RequestsOf({}, *chat, 1), 16);
  EXPECT_EQ(RequestsOf({}, *chat, 16), 64);
  EXPECT_EQ(WarmupOf({}, *chat, 4), 4);
  const LoadOptions open = {.rate = {2, 3.1}, .workload = "agent", .turns = 2, .think_seconds = 0.25};
  const auto agent = CheckLoadOptions(open);
  ASSERT_TRUE(agent.ok());
  EXPECT_EQ(agent->loop, Loop::kOpen);
  EXPECT_EQ(agent->shape.think_seconds, 0.25);
  EXPECT_EQ(RequestsOf(open, *agent, 3.1), 93);
  const auto trace = CheckLoadOptions({.trace = "t"});
  ASSERT_TRUE(trace.ok());
  EXPECT_EQ(trace->loop, Loop::kTrace);
  EXPECT_THAT(trace->levels, ElementsAre(1));
}

TEST(ReportPage, StandsAlone) {
  const std::vector<RequestRecord> records = {Good(0), Good(1)};
  LoadReport report = {.target = "a:1", .model = "<m>", .loop = "closed", .workload = "chat & more"};
  report.levels.push_back(MakeLevelReport(records, {}, {.name = "concurrency 2", .load = 2}));
  report.levels.push_back(MakeLevelReport({}, {}, {.name = "concurrency 4", .load = 4}));
  const std::string page = ReportPage(report);
  EXPECT_THAT(page, HasSubstr("&lt;m&gt;"));
  EXPECT_THAT(page, HasSubstr("chat &amp; more"));
  for (const char* foreign : {"<script", "http:", "https:", "url(", "<link", "<img", "nan", "inf,"})
    EXPECT_EQ(page.find(foreign), std::string::npos) << foreign;
  EXPECT_THAT(ReportJson(report), HasSubstr("\"requests_per_second\": null"));
  EXPECT_THAT(AxisTicks(7), ElementsAre(0, 2, 4, 6, 8));
  EXPECT_THAT(AxisTicks(0), ElementsAre(0, 1));
  EXPECT_EQ(AxisTicks(6e-3).size(), 7u);
  EXPECT_THAT(DoublingTicks(1, 16), ElementsAre(1, 2, 4, 8, 16));
  EXPECT_THAT(DoublingTicks(3, 9), ElementsAre(2, 4, 8, 16));
  EXPECT_THAT(DoublingTicks(0.25, 0.25), ElementsAre(0.25, 0.5));
  EXPECT_THAT(DoublingTicks(0, 5), ElementsAre(1, 2));
}

TEST(SvgPlot, DoublingsAreEquallyFarApart) {
  const std::string svg = SvgOf({.title = "t",
                                 .x_axis = "x",
                                 .y_axis = "y",
                                 .lines = {{.name = "l", .points = {{1, 1}, {4, 1}, {16, 1}}}},
                                 .doubling_x = true});
  // The axis is from 70 to 540: 1 is at its begin, 4 in its middle, 16 at its end. y is at its largest.
  EXPECT_THAT(svg, HasSubstr("points=\"70.0,56.0 305.0,56.0 540.0,56.0 \""));
}

}  // namespace
}  // namespace deeprack::cli
