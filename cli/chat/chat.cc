#include "cli/chat/chat.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/exit_code.h"
#include "cli/chat/answer_printer.h"
#include "cli/chat/line_reader.h"
#include "cli/http/chat_stream.h"
#include "cli/terminal/terminal.h"

namespace deeprack::cli {
namespace {

// Set by Ctrl-C. A signal handler can only reach a global.
std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free);

// While this object exists, Ctrl-C sets the flag and ends a wait for input.
class InterruptFlag {
 public:
  InterruptFlag() {
    interrupted = false;
    struct sigaction action = {};
    action.sa_handler = [](int) { interrupted = true; };
    sigaction(SIGINT, &action, &previous_);  // without SA_RESTART
  }
  ~InterruptFlag() { sigaction(SIGINT, &previous_, nullptr); }

 private:
  struct sigaction previous_ = {};
};

void Complain(const absl::Status& status) {
  std::fprintf(stderr, "deeprack: %s\n", std::string(status.message()).c_str());
}

class Conversation {
 public:
  Conversation(Url url, std::string model, Style style)
      : url_(std::move(url)), model_(std::move(model)), style_(style) {}

  absl::Status Ask(const std::string& question) {
    messages_.push_back({"user", question});
    AnswerPrinter printer(style_, stdout);
    ChatAnswer answer;
    interrupted = false;
    const absl::Status status = StreamChat(
        url_, {.model = model_, .messages = messages_}, printer.listener(), [] { return interrupted.load(); },
        answer);
    printer.Finish();
    if (absl::IsCancelled(status)) std::fputs("(stopped)\n", stdout);
    // An answer that was cut stays in the conversation. A question without any answer is removed, so that it
    // can be asked again.
    if (answer.content.empty()) {
      messages_.pop_back();
    } else {
      messages_.push_back({"assistant", answer.content});
    }
    return absl::IsCancelled(status) ? absl::OkStatus() : status;
  }

  void Clear() { messages_.clear(); }

 private:
  const Url url_;
  const std::string model_;
  const Style style_;
  std::vector<ChatMessage> messages_;
};

}  // namespace

int Chat(const ChatOptions& options) {
  auto url = ParseUrl(options.url);
  if (!url.ok()) {
    Complain(url.status());
    return static_cast<int>(ExitCode::kUsage);
  }
  url->key = KeyFromEnvironment();
  std::string model = options.model;
  if (model.empty()) {
    const auto first = FirstModel(*url);
    if (!first.ok()) {
      Complain(first.status());
      std::fputs("Is it running? `deeprack serve` starts one; --url says where it is.\n", stderr);
      return static_cast<int>(ExitCodeOf(first.status()));
    }
    model = *first;
  }
  const bool interactive = IsTerminal(STDIN_FILENO) && IsTerminal(STDOUT_FILENO);
  const Style style = StyleOfStandardOutput();
  if (interactive) {
    std::printf("%s%s on %s. /clear starts over, /quit ends, Ctrl-C stops an answer.%s\n", style.dim(),
                model.c_str(), url->authority().c_str(), style.reset());
  }
  Conversation conversation(*url, model, style);
  InterruptFlag flag;
  absl::Status last;
  while (true) {
    if (interactive) {
      std::printf("%s> %s", style.bold(), style.reset());
      std::fflush(stdout);
    }
    const auto line = ReadInputLine();
    if (!line.has_value()) break;
    const std::string question(absl::StripAsciiWhitespace(*line));
    if (question.empty()) continue;
    if (question == "/quit" || question == "/exit") return 0;
    if (question == "/clear") {
      conversation.Clear();
      continue;
    }
    last = conversation.Ask(question);
    if (!last.ok()) Complain(last);
  }
  if (interactive) std::fputs("\n", stdout);
  return static_cast<int>(ExitCodeOf(last));
}

}  // namespace deeprack::cli
