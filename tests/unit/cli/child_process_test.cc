#include "cli/serve/child_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

namespace deeprack::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

ChildProcess Shell(const std::string& script, bool pipe_output = false,
                   const std::vector<std::string>& environment = {}) {
  auto child = ChildProcess::Start({"sh", "-c", script}, environment, pipe_output);
  EXPECT_TRUE(child.ok()) << child.status();
  return *std::move(child);
}

std::string ReadAll(int fd) {
  std::string text;
  char buffer[256];
  for (ssize_t got; (got = read(fd, buffer, sizeof(buffer))) > 0;)
    text.append(buffer, static_cast<size_t>(got));
  return text;
}

TEST(ChildProcess, ReportsItsExitCode) {
  ChildProcess child = Shell("exit 65");
  EXPECT_EQ(child.WaitFor(seconds(20)), 65);
  EXPECT_EQ(child.Poll(), 65) << "again";
}

TEST(ChildProcess, ReportsTheSignalThatEndedIt) {
  ChildProcess child = Shell("kill -9 $$");
  EXPECT_EQ(child.WaitFor(seconds(20)), 128 + 9);
  EXPECT_EQ(DescribeEnd(137), "signal 9 (Killed), as the system does when memory runs out");
  EXPECT_EQ(DescribeEnd(128 + SIGSEGV), "signal 11 (Segmentation fault)");
  EXPECT_EQ(DescribeEnd(65), "exit code 65");
}

// mpirun ends with 243 when its own agent is missing, and with 213 and others for other reasons of its own.
TEST(ChildProcess, CodesThatAreNoSignalsAreExitCodes) {
  for (const int code : {128, 193, 213, 243, 255}) {
    EXPECT_EQ(DescribeEnd(code), "exit code " + std::to_string(code));
    EXPECT_EQ(ExitCodeAfter(code), 69);
  }
  for (const int code : {64, 65, 69, 70, 75, 78}) EXPECT_EQ(ExitCodeAfter(code), code);
  EXPECT_EQ(ExitCodeAfter(0), 70);
  for (const int code : {1, 127, 134, 137}) EXPECT_EQ(ExitCodeAfter(code), 69) << "no code of deeprack's";
}

TEST(ChildProcess, GivesItsOutput) {
  ChildProcess child = Shell("echo $GREETING $HOME", true, {"GREETING=hello", "HOME=elsewhere"});
  const std::string home = getenv("HOME") != nullptr ? getenv("HOME") : "elsewhere";
  EXPECT_EQ(ReadAll(child.output()), "hello " + home + "\n") << "what is set stays";
}

TEST(ChildProcess, DoesNotSeeWhatIsTakenAway) {
  setenv("DEEPRACK_TEST_VARIABLE", "x", 1);
  ChildProcess child = Shell("echo ${DEEPRACK_TEST_VARIABLE-none}", true, {"DEEPRACK_TEST_VARIABLE"});
  unsetenv("DEEPRACK_TEST_VARIABLE");
  EXPECT_EQ(ReadAll(child.output()), "none\n");
}

TEST(ChildProcess, HasAnEmptyInputAndItsOwnGroup) {
  ChildProcess child = Shell("cat; ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat", true);
  const std::string group = ReadAll(child.output());
  EXPECT_EQ(std::stoi(group), child.pid());
}

TEST(ChildProcess, SaysThatAProgramIsMissing) {
  const auto child = ChildProcess::Start({"/no/such/program"}, {}, false);
  EXPECT_EQ(child.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(child.status().message(), "cannot start /no/such/program: No such file or directory");
}

TEST(ChildProcess, StopsWhenTold) {
  ChildProcess child = Shell("trap 'exit 3' TERM; echo up; while true; do sleep 0.01; done", true);
  char byte;
  ASSERT_EQ(read(child.output(), &byte, 1), 1);  // the child has set its trap
  EXPECT_EQ(child.Stop(seconds(20)), 3);
}

TEST(ChildProcess, IsKilledWithItsChildrenWhenItDoesNotListen) {
  ChildProcess child =
      Shell("trap '' TERM; sh -c 'trap \"\" TERM; while true; do sleep 0.01; done' & echo $!; wait", true);
  std::string grandchild;
  for (char byte = 0; read(child.output(), &byte, 1) == 1 && byte != '\n';) grandchild.push_back(byte);
  EXPECT_EQ(child.Stop(milliseconds(50)), 128 + SIGKILL);
  EXPECT_EQ(ReadAll(child.output()), "") << "the pipe closes when the last of the group is gone";
}

TEST(ChildProcess, DoesNotOutliveItsOwner) {
  pid_t pid = 0;
  {
    ChildProcess child = Shell("while true; do sleep 0.01; done");
    pid = child.pid();
  }
  EXPECT_EQ(kill(pid, 0), -1);
}

}  // namespace
}  // namespace deeprack::cli
