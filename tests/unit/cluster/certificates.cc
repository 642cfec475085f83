#include "tests/unit/cluster/certificates.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "base/check.h"

namespace deeprack {
namespace {

struct Folders {
  std::vector<std::string> paths;
  ~Folders() {
    for (const std::string& path : paths) std::filesystem::remove_all(path);
  }
};

absl::Time FromNow(absl::Duration time) {
  return absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now() + time));
}

}  // namespace

cli::Issued MakeAuthority() {
  return cli::MakeAuthority(FromNow(-absl::Hours(24 * 31)), FromNow(absl::Hours(24 * 31))).value();
}

ClusterTls MemberOf(const cli::Issued& authority, const MemberOptions& options) {
  const cli::Issued member =
      cli::Sign(authority,
                {.names = options.names, .begins = FromNow(options.begins), .ends = FromNow(options.ends)})
          .value();
  return {.authority = authority.certificate, .certificate = member.certificate, .key = member.key};
}

std::string MakeCertificates() {
  static Folders folders;
  std::string path = (std::filesystem::temp_directory_path() / "deeprack-tls-XXXXXX").string();
  DR_CHECK(mkdtemp(path.data()) != nullptr);
  folders.paths.push_back(path);
  const cli::Issued authority = MakeAuthority();
  const ClusterTls member = MemberOf(authority);
  std::ofstream(path + "/ca.crt") << authority.certificate;
  std::ofstream(path + "/ca.key") << authority.key;
  std::ofstream(path + "/tls.crt") << member.certificate;
  std::ofstream(path + "/tls.key") << member.key;
  return path;
}

}  // namespace deeprack
