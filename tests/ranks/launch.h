// Real worker processes: deeprack-worker under mpirun.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace deeprack {

// Ends what it has started when it goes.
class Launch {
 public:
  // mpirun -n ranks deeprack-worker --coordinator 127.0.0.1:port
  Launch(int ranks, int coordinator_port);
  ~Launch();
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;

  int Wait();  // for mpirun to end; its exit code, which is that of the first worker to fail

 private:
  pid_t mpirun_ = -1;
};

}  // namespace deeprack
