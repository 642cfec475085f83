#include "cli/perplexity/score.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace deeprack::cli {
namespace {

using Json = nlohmann::json;

// A large model on few cores can compute for long before it sends the first byte of its answer.
constexpr absl::Duration kLongestSilence = absl::Minutes(60);

const Json* Member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

// Reads the tokens at one position: {"token_id:7": -0.5, ...}. Returns false if the JSON has another form.
bool ReadTop(const Json& json, std::vector<TokenLogprob>& top) {
  if (!json.is_object()) return false;
  for (const auto& [key, value] : json.items()) {
    absl::string_view id = key;
    TokenLogprob entry;
    if (!absl::ConsumePrefix(&id, "token_id:") || !absl::SimpleAtoi(id, &entry.token) || !value.is_number()) {
      return false;
    }
    entry.logprob = value.get<float>();
    top.push_back(entry);
  }
  std::sort(top.begin(), top.end(),
            [](const TokenLogprob& a, const TokenLogprob& b) { return a.token < b.token; });
  return true;
}

}  // namespace

absl::StatusOr<std::vector<std::vector<ScoredToken>>> ParseScores(absl::string_view answer,
                                                                  std::span<const size_t> lengths,
                                                                  int64_t first) {
  const auto wrong = [&](const std::string& what) {
    return absl::InternalError(absl::StrCat("/v1/completions: ", what, ": ", answer.substr(0, 200)));
  };
  const Json json = Json::parse(answer, nullptr, /*allow_exceptions=*/false);
  const Json* choices = Member(json, "choices");
  if (choices == nullptr || !choices->is_array() || choices->size() != lengths.size()) {
    return wrong(absl::StrCat("no ", lengths.size(), " choices"));
  }
  std::vector<std::vector<ScoredToken>> scores(lengths.size());
  for (const Json& choice : *choices) {
    const Json* number = Member(choice, "index");
    const Json* logprobs = Member(choice, "logprobs");
    if (number == nullptr || !number->is_number_unsigned() || logprobs == nullptr) {
      return wrong("no log-probabilities");
    }
    const size_t index = number->get<size_t>();
    const Json* own = Member(*logprobs, "token_logprobs");
    const Json* top = Member(*logprobs, "top_logprobs");
    if (index >= lengths.size() || !scores[index].empty() || own == nullptr || top == nullptr ||
        !own->is_array() || !top->is_array() || own->size() != lengths[index] ||
        top->size() != lengths[index]) {
      return wrong("other log-probabilities than were asked for");
    }
    for (size_t i = static_cast<size_t>(first); i < lengths[index]; ++i) {
      ScoredToken scored;
      if (!(*own)[i].is_number() || !ReadTop((*top)[i], scored.top)) {
        return wrong(absl::StrCat("position ", i, " has no log-probability"));
      }
      scored.logprob = (*own)[i].get<float>();
      scores[index].push_back(std::move(scored));
    }
  }
  return scores;
}

absl::StatusOr<std::vector<std::vector<ScoredToken>>> ScoreWindows(
    const Url& url, const std::string& model, std::span<const std::vector<TokenId>> windows, int64_t first,
    int32_t top, const Cancelled& cancelled) {
  const Json body = {
      {"model", model},  {"prompt", std::vector<std::vector<TokenId>>(windows.begin(), windows.end())},
      {"max_tokens", 0}, {"echo", true},
      {"logprobs", top}, {"return_tokens_as_token_ids", true}};
  DR_ASSIGN_OR_RETURN(const std::string answer,
                      HttpPost(url, "/v1/completions", body.dump(), kLongestSilence, cancelled));
  std::vector<size_t> lengths;
  for (const std::vector<TokenId>& window : windows) lengths.push_back(window.size());
  return ParseScores(answer, lengths, first);
}

}  // namespace deeprack::cli
