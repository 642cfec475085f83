// Certificates for tests, made by the script that people use.
#pragma once

#include <string>

namespace deeprack {

// A new folder with ca.crt, ca.key, tls.crt and tls.key; removed when the program ends.
std::string MakeCertificates();

}  // namespace deeprack
