#include "tests/ranks/launch.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/check.h"

extern char** environ;

namespace deeprack {

Launch::Launch(int ranks, int coordinator_port) {
  std::vector<std::string> arguments = {"mpirun",
                                        "--allow-run-as-root",
                                        "--oversubscribe",
                                        "--bind-to",
                                        "none",
                                        "-n",
                                        std::to_string(ranks),
                                        DEEPRACK_WORKER,
                                        "--threads",
                                        "1",
                                        "--coordinator",
                                        "127.0.0.1:" + std::to_string(coordinator_port)};
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  DR_CHECK(posix_spawnp(&mpirun_, "mpirun", nullptr, nullptr, argv.data(), environ) == 0);
}

Launch::~Launch() {
  if (mpirun_ < 0) return;
  kill(mpirun_, SIGTERM);
  Wait();
}

int Launch::Wait() {
  int status = 0;
  DR_CHECK(waitpid(mpirun_, &status, 0) == mpirun_);
  mpirun_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace deeprack
