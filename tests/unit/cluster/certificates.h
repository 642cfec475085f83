// Certificates for tests, made by the script that users run.
#pragma once

#include <string>

namespace deeprack {

// Makes a new folder with ca.crt, ca.key, tls.crt and tls.key. The folder is removed when the program ends.
std::string MakeCertificates();

}  // namespace deeprack
