// `deeprack preflight-agent`: answers on one host what `deeprack preflight` asks.
#pragma once

#include <string>

namespace deeprack::cli {

struct AgentOptions {
  std::string listen;       // host:port; "": any free port, on loopback when `towards` is loopback
  std::string towards;      // host:port of the coordinator; "": none is known
  std::string cluster_tls;  // folder of certificates, needed beyond loopback; "": none
  std::string version;      // of this build
  double idle_seconds = 0;  // ends after this time without a call; 0: only a signal ends it
};

// Prints one line to standard output when the port is bound: {"agent": "10.0.0.2:41234"}. The host in it is
// the address that this machine has towards the coordinator. Returns the exit code.
int RunAgent(const AgentOptions& options);

}  // namespace deeprack::cli
