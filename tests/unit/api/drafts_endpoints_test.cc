// Answers of ranks whose steps draw several tokens: the same events and texts as with one token a step.
#include <algorithm>
#include <functional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/api/json_fields.h"
#include "gtest/gtest.h"
#include "tests/unit/api/api_server.h"
#include "tests/unit/api/endpoint_requests.h"

namespace deeprack::coordinator {
namespace {

constexpr int32_t kDrafts = 3;

// Calls `use` with every list of parts of at most 1 + kDrafts whose sum is `sum`.
void ForEveryCut(int32_t sum, std::vector<int32_t>& parts,
                 const std::function<void(const std::vector<int32_t>&)>& use) {
  if (sum == 0) return use(parts);
  for (int32_t part = 1; part <= std::min(sum, 1 + kDrafts); ++part) {
    parts.push_back(part);
    ForEveryCut(sum - part, parts, use);
    parts.pop_back();
  }
}

// What a client sees: the answer or the events of the stream, without what differs from one request to the
// next, and without the counts of drafts.
std::string Seen(const HttpReply& reply, bool stream) {
  std::string seen;
  for (const std::string& event : stream ? Events(reply.body) : std::vector<std::string>{reply.body}) {
    Json json = Json::parse(event, nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) {
      json.erase("id");
      json.erase("created");
      if (json.contains("usage") && json["usage"].is_object()) {
        json["usage"]["completion_tokens_details"].erase("accepted_prediction_tokens");
        json["usage"]["completion_tokens_details"].erase("rejected_prediction_tokens");
      }
    }
    absl::StrAppend(&seen, json.is_discarded() ? event : json.dump(), "\n");
  }
  return seen;
}

class DraftsEndpointsTest : public testing::Test {
 protected:
  DraftsEndpointsTest() : server_({.script = "t</think>stop", .drafts = kDrafts}) { server_.BecomeReady(); }

  HttpReply Post(const char* path, const std::string& fields, bool stream) const {
    const std::string all =
        absl::StrCat(fields, stream ? R"(, "stream": true, "stream_options": {"include_usage": true})" : "");
    HttpReply reply = server_.Post(
        path, path == std::string(kChat) ? ChatBody(all) : absl::StrCat(R"({"prompt": "ab", )", all, "}"));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply;
  }

  // Every way to cut the answer's tokens into the lists of steps gives what one token a step gives.
  void ExpectEveryCut(const char* path, const std::string& fields) {
    for (const bool stream : {false, true}) {
      server_.executor().CutInto({});
      const std::string expected = Seen(Post(path, fields, stream), stream);
      std::vector<int32_t> parts = {1};  // the step with the prompt has no drafts
      int cuts = 0;
      ForEveryCut(6, parts, [&](const std::vector<int32_t>& cut) {
        server_.executor().CutInto(cut);
        ASSERT_EQ(Seen(Post(path, fields, stream), stream), expected)
            << fields << ", lists of " << testing::PrintToString(cut);
        ++cuts;
      });
      EXPECT_EQ(cuts, 29);
    }
  }

  ApiServer server_;
};

TEST_F(DraftsEndpointsTest, ReasoningContentAndLogprobs) {
  ExpectEveryCut(kChat, R"("logprobs": true, "top_logprobs": 2)");
}
TEST_F(DraftsEndpointsTest, StopStrings) {
  ExpectEveryCut(kChat, R"("stop": ["to"])");
  ExpectEveryCut(kChat, R"("stop": ["</think>"])");
  ExpectEveryCut(kCompletions, R"("stop": ["op", "zz"], "include_stop_str_in_output": true, "logprobs": 1)");
}
TEST_F(DraftsEndpointsTest, StopTokens) {
  ExpectEveryCut(kCompletions, R"("stop_token_ids": [111], "return_token_ids": true)");
}
TEST_F(DraftsEndpointsTest, FewestAndMostTokens) {
  ExpectEveryCut(kCompletions, R"("min_tokens": 9, "max_tokens": 20, "logprobs": 1)");
  ExpectEveryCut(kCompletions, R"("max_tokens": 4)");
}

TEST_F(DraftsEndpointsTest, UsageAndMetricsCountDrafts) {
  // Tokens t | </think> s t | o | p eos. The last lists have drafts that are wrong, or that are not reached.
  server_.executor().CutInto({1, 3, 1, 2});
  const Json usage = Json::parse(Post(kChat, R"("max_tokens": 100)", false).body)["usage"];
  EXPECT_EQ(usage["completion_tokens"], 7);
  EXPECT_EQ(usage["completion_tokens_details"]["accepted_prediction_tokens"], 3);
  EXPECT_EQ(usage["completion_tokens_details"]["rejected_prediction_tokens"], 6);
  EXPECT_TRUE(server_.BecomesIdle());
  const std::string metrics = server_.Get("/metrics").body;
  for (const auto& [name, value] : std::vector<std::pair<std::string, int>>{
           {"num_drafts_total{model_name=\"bytes\"}", 3},
           {"num_draft_tokens_total{model_name=\"bytes\"}", 9},
           {"num_accepted_tokens_total{model_name=\"bytes\"}", 3},
           {"num_accepted_tokens_per_pos_total{model_name=\"bytes\",position=\"0\"}", 2},
           {"num_accepted_tokens_per_pos_total{model_name=\"bytes\",position=\"1\"}", 1},
           {"num_accepted_tokens_per_pos_total{model_name=\"bytes\",position=\"2\"}", 0}}) {
    EXPECT_NE(metrics.find(absl::StrCat("\nvllm:spec_decode_", name, " ", value, "\n")), std::string::npos)
        << name << "\n"
        << metrics;
  }
}

}  // namespace
}  // namespace deeprack::coordinator
