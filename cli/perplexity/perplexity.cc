#include "cli/perplexity/perplexity.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "cli/http/chat_stream.h"
#include "cli/http/completions.h"
#include "cli/perplexity/divergence.h"
#include "cli/perplexity/score.h"
#include "cli/perplexity/windows.h"
#include "cli/serve/start_check.h"
#include "cli/serve/with_server.h"
#include "cli/terminal/fail.h"
#include "cli/terminal/progress.h"
#include "cli/terminal/terminal.h"
#include "model/config/kv_cache_type.h"

namespace deeprack::cli {
namespace {

constexpr int64_t kTokensOfRequest = 4096;
constexpr int64_t kWindowsOfRequest = 64;  // the server takes at most 128 prompts

absl::StatusOr<std::string> ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) return absl::FailedPreconditionError(absl::StrCat("--text ", path, ": cannot be read"));
  return text;
}

// The scores of one model.
struct Scores {
  std::string model;
  std::vector<TokenId> tokens;                    // the tokens of the text
  std::vector<std::vector<ScoredToken>> windows;  // the scored tokens of each window
};

// Serves one model and scores the text with it.
class Scoring {
 public:
  Scoring(const PerplexityOptions& options, const std::string& text, int32_t top)
      : options_(options), text_(text), top_(top) {}

  int Run(const Settings& serve, Scores& scores) const {
    return WithCluster(WithLimits(serve), [&](const Url& url, const Cancelled& cancelled) {
      const absl::Status status = Score(url, cancelled, scores);
      return status.ok() ? 0 : Fail(status);
    });
  }

 private:
  Settings WithLimits(Settings serve) const {
    serve.port = 0;
    serve.host = "127.0.0.1";
    serve.max_logprobs = std::max(top_, 1);
    if (serve.max_context == 0) serve.max_context = static_cast<int32_t>(options_.context);
    return serve;
  }

  absl::Status Score(const Url& url, const Cancelled& cancelled, Scores& scores) const {
    DR_ASSIGN_OR_RETURN(scores.model, FirstModel(url));
    DR_ASSIGN_OR_RETURN(const std::vector<TokenId> bos, Tokenize(url, scores.model, "", true, cancelled));
    DR_ASSIGN_OR_RETURN(scores.tokens, Tokenize(url, scores.model, text_, true, cancelled));
    auto windows = CutWindows(scores.tokens, options_.context, bos.empty() ? -1 : bos.front());
    if (windows.empty()) {
      return absl::FailedPreconditionError(absl::StrCat("--text ", options_.text, ": has ",
                                                        scores.tokens.size(), " tokens, and --context is ",
                                                        options_.context, ": not one window is full"));
    }
    const size_t most = static_cast<size_t>(options_.windows);
    if (most > 0 && windows.size() > most) windows.resize(most);

    const size_t group =
        static_cast<size_t>(std::clamp(kTokensOfRequest / options_.context, int64_t{1}, kWindowsOfRequest));
    Progress progress("scoring windows", IsTerminal(STDERR_FILENO), absl::Now(), FormatCount);
    for (size_t done = 0; done < windows.size();) {
      const std::span<const std::vector<TokenId>> part =
          std::span(windows).subspan(done, std::min(group, windows.size() - done));
      DR_ASSIGN_OR_RETURN(auto part_scores, ScoreWindows(url, scores.model, part,
                                                         FirstScored(options_.context), top_, cancelled));
      for (auto& window : part_scores) scores.windows.push_back(std::move(window));
      done += part.size();
      std::fputs(
          progress.Update(static_cast<int64_t>(done), static_cast<int64_t>(windows.size()), absl::Now())
              .c_str(),
          stderr);
    }
    std::fputs(progress.Finish().c_str(), stderr);
    return absl::OkStatus();
  }

  const PerplexityOptions& options_;
  const std::string& text_;
  const int32_t top_;
};

// The number of tokens of each distribution that are compared; 0 without a reference.
absl::StatusOr<int32_t> TopOf(const PerplexityOptions& options, const Settings& serve, bool& whole) {
  if (options.reference.empty()) return 0;
  DR_ASSIGN_OR_RETURN(const model::ModelConfig config, ReadModelConfig(serve.model));
  whole = options.top >= config.vocab_size;
  return static_cast<int32_t>(std::min<int64_t>(options.top, config.vocab_size));
}

void Compare(const Scores& reference, const Scores& model, PerplexityResult& result) {
  for (size_t i = 0; i < model.windows.size(); ++i) {
    for (size_t j = 0; j < model.windows[i].size(); ++j) {
      const ScoredToken& expected = reference.windows[i][j];
      const Divergence divergence = DivergenceOf(expected, model.windows[i][j], result.whole);
      result.kl.Add(divergence.kl);
      result.same_top.Add(divergence.same_top ? 1 : 0);
      result.named_mass.Add(divergence.named_mass);
      result.reference_loss.Add(-static_cast<double>(expected.logprob));
    }
  }
}

}  // namespace

double PerplexityResult::perplexity() const { return std::exp(loss.value()); }
double PerplexityResult::perplexity_error() const { return perplexity() * loss.standard_error(); }

int MeasurePerplexity(const PerplexityOptions& options, const Settings& serve, PerplexityResult& result) {
  const absl::StatusOr<std::string> text = ReadText(options.text);
  if (!text.ok()) return Fail(text.status());
  const absl::StatusOr<int32_t> top = TopOf(options, serve, result.whole);
  if (!top.ok()) return Fail(top.status());
  const Scoring scoring(options, *text, *top);
  Scores reference, model;
  if (!options.reference.empty()) {
    Settings with = serve;
    with.model = options.reference;
    with.served_model_name.clear();
    with.kv_cache_dtype = model::kDefaultKvCacheType;
    if (const int exit_code = scoring.Run(with, reference); exit_code != 0) return exit_code;
  }
  if (const int exit_code = scoring.Run(serve, model); exit_code != 0) return exit_code;
  if (!options.reference.empty() && reference.tokens != model.tokens) {
    return Fail(absl::FailedPreconditionError(absl::StrCat(
        options.reference, " and ", serve.model,
        " cut the text into different tokens: only models with one vocabulary can be compared")));
  }
  result.model = model.model;
  result.windows = static_cast<int64_t>(model.windows.size());
  for (const auto& window : model.windows) {
    for (const ScoredToken& scored : window) {
      result.losses.push_back(-scored.logprob);
      result.loss.Add(result.losses.back());
    }
  }
  if (!options.reference.empty()) Compare(reference, model, result);
  return 0;
}

int Perplexity(const PerplexityOptions& options, const Settings& serve) {
  PerplexityResult result;
  if (const int exit_code = MeasurePerplexity(options, serve, result); exit_code != 0) return exit_code;
  std::printf("%s: %lld tokens scored, the second half of each of %lld windows of %lld\n",
              result.model.c_str(), static_cast<long long>(result.loss.count()),
              static_cast<long long>(result.windows), static_cast<long long>(options.context));
  std::printf("perplexity      %.6f +/- %.6f\n", result.perplexity(), result.perplexity_error());
  if (options.reference.empty()) return 0;
  std::printf("reference       %.6f (%s)\n", std::exp(result.reference_loss.value()),
              options.reference.c_str());
  std::printf("KL divergence   %.6f +/- %.6f%s\n", result.kl.value(), result.kl.standard_error(),
              result.whole ? "" : ", at least");
  std::printf("same top token  %.2f%% +/- %.2f%%\n", 100 * result.same_top.value(),
              100 * result.same_top.standard_error());
  if (!result.whole) {
    std::printf(
        "The divergence is over %d tokens at each place, %.3f%% of the reference's mass, and everything else "
        "as one.\n",
        options.top, 100 * result.named_mass.value());
  }
  return 0;
}

}  // namespace deeprack::cli
