// What gRPC and the checks of peers have to say, as lines of the program's log.
#pragma once

#include <string>

namespace deeprack {

// From now on gRPC's errors are lines of the program's log. Handshakes that fail because a peer has no
// certificate, or does not speak TLS, are told in deeprack's words. Also forgets what LogRefusal has logged.
// Programs call it once, after InitLog.
void TakeGrpcLog();

// The line for an error that gRPC reports. Pure.
std::string GrpcLogLine(const std::string& message);

// Logs a warning, unless the same text was logged less than a minute ago. At most 100 texts a minute. From
// any thread.
void LogRefusal(const std::string& text);

}  // namespace deeprack
