// Real worker processes: deeprack-worker under mpirun.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace deeprack {

// The destructor ends the processes.
class Launch {
 public:
  // mpirun -n ranks deeprack-worker --coordinator 127.0.0.1:port
  Launch(int ranks, int coordinator_port);
  ~Launch();
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;

  // Waits until mpirun ends. Returns its exit code, which is the exit code of the first worker that failed.
  int Wait();

 private:
  pid_t mpirun_ = -1;
};

}  // namespace deeprack
