#include "cli/serve/with_server.h"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <thread>

#include "cli/serve/serve.h"
#include "cli/serve/server_processes.h"
#include "cli/serve/start_check.h"
#include "cli/serve/stop_signals.h"
#include "cli/terminal/fail.h"

namespace deeprack::cli {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(50);
constexpr int kStoppedByHand = 128 + SIGINT;

// Runs the work on a thread. The destructor cancels the work and joins the thread.
class WorkThread {
 public:
  WorkThread(const ServerWork& work, const Url& url)
      : thread_([this, &work, url] {
          exit_code_ = work(url, [this] { return give_up_.load(); });
          done_ = true;
        }) {}
  ~WorkThread() {
    give_up_ = true;
    thread_.join();
  }
  bool done() const { return done_; }
  int exit_code() const { return exit_code_; }  // once done

 private:
  std::atomic<bool> give_up_ = false, done_ = false;
  int exit_code_ = 0;
  std::thread thread_;  // last: it uses the others
};

}  // namespace

int WithCluster(const Settings& options, const ServerWork& work) {
  if (const absl::Status status = CheckStart(options); !status.ok()) return Fail(status);
  StopSignals signals;
  ServerProcesses server(options, &signals);
  std::optional<ServeEnd> end = BringUp(server);
  int exit_code = 0;
  if (!end.has_value()) {
    const WorkThread thread(work, server.url());
    end = server.Watch([&] { return thread.done(); },
                       [](const std::string& line) { std::fprintf(stderr, "deeprack: %s\n", line.c_str()); });
    if (!end.has_value()) exit_code = thread.exit_code();
  }
  server.Stop();
  if (!end.has_value()) return exit_code;
  if (!end->message.empty()) std::fprintf(stderr, "deeprack: %s\n", end->message.c_str());
  return end->exit_code != 0 ? end->exit_code : kStoppedByHand;
}

int WithServer(const std::string& url, const ServerWork& work) {
  auto parsed = ParseUrl(url);
  if (!parsed.ok()) return Fail(parsed.status());
  parsed->key = KeyFromEnvironment();
  StopSignals signals;
  const WorkThread thread(work, *parsed);
  while (!thread.done()) {
    if (signals.WaitFor(kTick)) return kStoppedByHand;
  }
  return thread.exit_code();
}

}  // namespace deeprack::cli
