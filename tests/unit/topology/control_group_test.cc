// What a process may take of its machine. A container's limits are read from made-up files of /proc and
// /sys.
#include "base/control_group.h"

#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/process_limits.h"
#include "gtest/gtest.h"
#include "worker/device/host_memory.h"

namespace deeprack {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kGiB = int64_t{1} << 30;

// A folder with proc and sys.
class MadeUp {
 public:
  MadeUp() : root_((fs::temp_directory_path() / "deeprack-group-XXXXXX").string()) {
    EXPECT_NE(mkdtemp(root_.data()), nullptr);
  }
  ~MadeUp() { fs::remove_all(root_); }

  MadeUp& Has(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
    return *this;
  }
  ControlGroup Read() const { return ReadControlGroup(root_); }
  const std::string& root() const { return root_; }

 private:
  std::string root_;
};

TEST(ControlGroup, NothingLimitsWhereThereAreNoFiles) {
  const MadeUp machine;
  EXPECT_FALSE(machine.Read().processors.has_value());
  EXPECT_FALSE(machine.Read().free_bytes.has_value());
  EXPECT_EQ(worker::AvailableHostBytes(machine.root()), 0);
}

TEST(ControlGroup, AContainerSeesItsLimitsAtTheTop) {
  MadeUp container;
  container.Has("/proc/self/cgroup", "0::/\n")
      .Has("/sys/fs/cgroup/cpu.max", "250000 100000\n")
      .Has("/sys/fs/cgroup/memory.max", "4294967296\n")
      .Has("/sys/fs/cgroup/memory.current", "3221225472\n")
      .Has("/sys/fs/cgroup/memory.stat",
           "anon 1073741824\nfile 2147483648\ninactive_file 1073741824\nactive_file 536870912\n")
      .Has("/proc/meminfo", "MemTotal: 67108864 kB\nMemAvailable: 33554432 kB\n");
  EXPECT_EQ(container.Read().processors, 2.5);
  // 4 GiB, of which 3 are taken; 1.5 of these are pages of files.
  EXPECT_EQ(container.Read().free_bytes, 5 * kGiB / 2);
  EXPECT_EQ(worker::AvailableHostBytes(container.root()), 5 * kGiB / 2);
  EXPECT_EQ(UsableProcessors(16, container.Read()), 2);
  EXPECT_EQ(UsableProcessors(1, container.Read()), 1);
}

TEST(ControlGroup, TheLeastLimitOfAllGroupsAboveCounts) {
  MadeUp machine;
  machine.Has("/proc/self/cgroup", "9:name=systemd:/x\n0::/pod/rank\n")
      .Has("/sys/fs/cgroup/pod/rank/cpu.max", "max 100000\n")
      .Has("/sys/fs/cgroup/pod/rank/memory.max", "max\n")
      .Has("/sys/fs/cgroup/pod/cpu.max", "50000 100000\n")
      .Has("/sys/fs/cgroup/pod/memory.max", "2147483648\n")
      .Has("/sys/fs/cgroup/pod/memory.current", "1073741824\n")
      .Has("/sys/fs/cgroup/memory.max", "8589934592\n")
      .Has("/proc/meminfo", "MemAvailable: 524288 kB\n");
  EXPECT_EQ(machine.Read().processors, 0.5);
  EXPECT_EQ(machine.Read().free_bytes, kGiB);
  EXPECT_EQ(worker::AvailableHostBytes(machine.root()), kGiB / 2);  // the machine has less than the group
  EXPECT_EQ(UsableProcessors(16, machine.Read()), 1);
}

TEST(ControlGroup, DamagedFilesLimitNothingAndFullGroupsLeaveNothing) {
  MadeUp machine;
  machine.Has("/proc/self/cgroup", "0::/gone/on/this/side\n")
      .Has("/sys/fs/cgroup/cpu.max", "-5 100000\n")
      .Has("/sys/fs/cgroup/memory.max", "lots\n");
  EXPECT_FALSE(machine.Read().processors.has_value());
  EXPECT_FALSE(machine.Read().free_bytes.has_value());
  machine.Has("/sys/fs/cgroup/cpu.max", "100000 0\n")
      .Has("/sys/fs/cgroup/memory.max", "1048576\n")
      .Has("/sys/fs/cgroup/memory.current", "2097152\n");
  EXPECT_FALSE(machine.Read().processors.has_value());
  EXPECT_EQ(machine.Read().free_bytes, 0);
}

TEST(ProcessLimits, GrpcsThreadsGrowWithTheMachineAndNotWithTheMask) {
  EXPECT_EQ(RpcThreadsOn(2), 20);
  EXPECT_EQ(RpcThreadsOn(16), 48);
  // gRPC itself has 53 threads on a machine of 64 processors, before it is asked for anything.
  EXPECT_EQ(RpcThreadsOn(64), 80);
  EXPECT_EQ(RpcThreadsOn(192), 80);
  const std::vector<int> allowed = AllowedProcessors();
  ASSERT_FALSE(allowed.empty());
  EXPECT_EQ(AllowedProcessorCount(), std::ssize(allowed));
  const int threads = RpcThreads();
  EXPECT_EQ(threads, RpcThreadsOn(static_cast<int>(sysconf(_SC_NPROCESSORS_CONF))));
  // The mask of a thread of its own, which ends with the test.
  std::thread([&allowed, threads] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(allowed.front(), &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    EXPECT_EQ(AllowedProcessors(), std::vector<int>{allowed.front()});
    EXPECT_EQ(AllowedProcessorCount(), 1);
    EXPECT_EQ(RpcThreads(), threads);
  }).join();
}

}  // namespace

}  // namespace deeprack
