// Paths become segments, segments find routes, and errors have the shape of the path's API.
#include "coordinator/api/routes.h"

#include "coordinator/api/request_path.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;

TEST(PathSegments, AreDividedBeforePercentIsDecoded) {
  EXPECT_THAT(PathSegments("/v1/models"), Optional(ElementsAre("v1", "models")));
  EXPECT_THAT(PathSegments("//v1//models/"), Optional(ElementsAre("v1", "models")));
  EXPECT_THAT(PathSegments("/v1/mod%65ls/a%2Fb%2f"), Optional(ElementsAre("v1", "models", "a/b/")));
  EXPECT_THAT(PathSegments("/%C3%A9"), Optional(ElementsAre("é")));
  EXPECT_THAT(PathSegments("/%252F"), Optional(ElementsAre("%2F")));
  EXPECT_THAT(PathSegments("/"), Optional(IsEmpty()));
  EXPECT_THAT(PathSegments(""), Optional(IsEmpty()));
  for (const char* bad : {"/%", "/%4", "/%4g", "/%-1", "/%00", "/a%0ab", "/%C3", "/\x7f"}) {
    EXPECT_EQ(PathSegments(bad), std::nullopt) << bad;
  }
}

TEST(MatchPath, FindsTheId) {
  EXPECT_EQ(MatchPath("/v1/a", {"v1", "a"}), "");
  EXPECT_EQ(MatchPath("/v1/a", {"a"}), "");
  EXPECT_EQ(MatchPath("/b", {"v1", "b"}), std::nullopt);
  EXPECT_EQ(MatchPath("/v1/a", {"v1", "a", "b"}), std::nullopt);
  EXPECT_EQ(MatchPath("/v1/a", {"v1"}), std::nullopt);
  EXPECT_EQ(MatchPath("/v1/a/{id}", {"v1", "a", "x/y"}), "x/y");
  EXPECT_EQ(MatchPath("/v1/a/{id}", {"v1", "a", "x", "y"}), std::nullopt);
  EXPECT_EQ(MatchPath("/v1/a/{id}/cancel", {"a", "7", "cancel"}), "7");
  EXPECT_EQ(MatchPath("/v1/a/{id*}", {"v1", "a", "x", "y"}), "x/y");
  EXPECT_EQ(MatchPath("/v1/a/{id*}", {"v1", "a"}), std::nullopt);
}

TEST(FindRoute, ByPathAndMethod) {
  const RouteMatch post = FindRoute("POST", {"chat", "completions"});
  ASSERT_NE(post.route, nullptr);
  EXPECT_EQ(post.route->path, "/v1/chat/completions");
  EXPECT_TRUE(post.route->generates);
  const RouteMatch head = FindRoute("HEAD", {"v1", "models", "org", "name"});
  ASSERT_NE(head.route, nullptr);
  EXPECT_EQ(head.id, "org/name");
  const RouteMatch wrong = FindRoute("DELETE", {"health"});
  EXPECT_EQ(wrong.route, nullptr);
  EXPECT_THAT(wrong.methods, ElementsAre("GET"));
}

TEST(FindRoute, KnowsPathsOfOtherServers) {
  for (const std::vector<std::string>& path : std::vector<std::vector<std::string>>{{"v1", "embeddings"},
                                                                                    {"rerank"},
                                                                                    {"v2", "rerank"},
                                                                                    {"v1", "audio", "speech"},
                                                                                    {"v1", "files", "f"}}) {
    const RouteMatch match = FindRoute("POST", path);
    EXPECT_TRUE(match.known_elsewhere && match.methods.empty()) << path.back();
  }
  EXPECT_FALSE(FindRoute("POST", {"v1", "nowhere"}).known_elsewhere);
  EXPECT_FALSE(FindRoute("POST", {}).known_elsewhere);
}

TEST(ApiError, HasTwoShapes) {
  const ApiError error{.status = 413, .code = "payload_too_large", .message = "too large"};
  EXPECT_EQ(nlohmann::json::parse(error.ToJson()),
            nlohmann::json::parse(R"({"error": {"message": "too large", "type": "invalid_request_error",
                                                "param": null, "code": "payload_too_large"}})"));
  EXPECT_EQ(nlohmann::json::parse(error.ToJson(ErrorShape::kAnthropic)),
            nlohmann::json::parse(R"({"type": "error",
                                      "error": {"type": "request_too_large", "message": "too large"}})"));
  EXPECT_EQ(nlohmann::json::parse(error.ToJson(ErrorShape::kAnthropic, "r1"))["request_id"], "r1");
  EXPECT_FALSE(nlohmann::json::parse(error.ToJson(ErrorShape::kOpenAi, "r1")).contains("request_id"));
}

TEST(ApiError, AnthropicTypesFollowFromTheStatus) {
  const std::pair<int, const char*> types[] = {{400, "invalid_request_error"},
                                               {401, "authentication_error"},
                                               {403, "permission_error"},
                                               {404, "not_found_error"},
                                               {405, "invalid_request_error"},
                                               {429, "rate_limit_error"},
                                               {500, "api_error"},
                                               {503, "overloaded_error"}};
  for (const auto& [status, type] : types) {
    const auto body = nlohmann::json::parse(ApiError{.status = status}.ToJson(ErrorShape::kAnthropic));
    EXPECT_EQ(body["error"]["type"], type) << status;
  }
}

TEST(HttpErrorBody, HasTheShapeOfThePathsApi) {
  EXPECT_THAT(HttpErrorBody({.status = 413, .message = "m", .path = "/anthropic/v1/messages", .id = "r1"}),
              AllOf(HasSubstr("request_too_large"), HasSubstr(R"("request_id":"r1")")));
  EXPECT_THAT(HttpErrorBody({.status = 413, .message = "m", .path = "/v1/completions"}),
              HasSubstr("payload_too_large"));
  EXPECT_THAT(HttpErrorBody({.status = 400, .message = "m", .path = "/%"}), HasSubstr("malformed_request"));
}

}  // namespace
}  // namespace deeprack::coordinator
