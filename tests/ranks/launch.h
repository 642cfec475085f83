// Real worker processes: deeprack-worker under mpirun.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace deeprack {

// Its destructor ends the processes.
class Launch {
 public:
  // mpirun -n ranks deeprack-worker --coordinator 127.0.0.1:port
  Launch(int ranks, int coordinator_port);
  ~Launch();
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;

  int Wait();  // until mpirun ends; its exit code, which is that of the first worker that failed

 private:
  pid_t mpirun_ = -1;
};

}  // namespace deeprack
