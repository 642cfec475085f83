#include "cli/demo/demo.h"

#include <cstdio>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "base/exit_code.h"
#include "base/status_macros.h"
#include "cli/chat/answer_printer.h"
#include "cli/demo/questions.h"
#include "cli/http/chat_stream.h"
#include "cli/serve/programs.h"
#include "cli/serve/with_server.h"
#include "cli/terminal/fail.h"
#include "cli/terminal/terminal.h"

namespace deeprack::cli {
namespace {

absl::StatusOr<std::vector<Question>> LoadQuestions() {
  DR_ASSIGN_OR_RETURN(const std::string path, FindDemoQuestions());
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) return absl::FailedPreconditionError(absl::StrCat(path, ": cannot be read"));
  auto questions = ParseQuestions(text);
  if (!questions.ok())
    return absl::FailedPreconditionError(absl::StrCat(path, ": ", questions.status().message()));
  return questions;
}

// Asks one after another; how many answers were right.
absl::StatusOr<int> AskAll(const Url& url, const std::vector<Question>& questions,
                           const Cancelled& cancelled) {
  DR_ASSIGN_OR_RETURN(const std::string model, FirstModel(url));
  const Style style = StyleOfStandardOutput();
  int right = 0;
  for (const Question& question : questions) {
    std::printf("\n%s> %s%s\n", style.bold(), question.question.c_str(), style.reset());
    std::fflush(stdout);
    AnswerPrinter printer(style, stdout);
    ChatAnswer answer;
    const ChatRequest request{.model = model, .messages = {{"user", question.question}}, .greedy = true};
    DR_RETURN_IF_ERROR(StreamChat(url, request, printer.listener(), cancelled, answer));
    printer.Finish();
    if (StatesAnswer(answer.content, question.answer)) {
      ++right;
    } else {
      std::printf("(expected: %s)\n", question.answer.c_str());
    }
  }
  return right;
}

}  // namespace

int Demo() {
  const auto questions = LoadQuestions();
  if (!questions.ok()) return Fail(questions.status());
  const auto model = FindDemoModel();
  if (!model.ok()) return Fail(model.status());
  Settings options;
  options.model = *model;
  options.served_model_name = "demo";
  options.tp = 2;
  options.port = 0;

  return WithCluster(options, [&](const Url& url, const Cancelled& cancelled) {
    std::printf("deeprack: %d ranks serve the demo model on http://%s\n", options.layout().world_size(),
                url.authority().c_str());
    const absl::StatusOr<int> right = AskAll(url, *questions, cancelled);
    if (!right.ok()) return Fail(right.status());
    std::printf("\ndemo: %d of %zu answers right\n", *right, questions->size());
    return *right == static_cast<int>(questions->size()) ? 0 : static_cast<int>(ExitCode::kInternal);
  });
}

}  // namespace deeprack::cli
