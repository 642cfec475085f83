#include "tests/source_tree.h"
#include "tests/unit/cluster/certificates.h"

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/check.h"

namespace deeprack {
namespace {

struct Folders {
  std::vector<std::string> paths;
  ~Folders() {
    for (const std::string& path : paths) std::filesystem::remove_all(path);
  }
};

}  // namespace

std::string MakeCertificates() {
  static Folders folders;
  std::string path = (std::filesystem::temp_directory_path() / "deeprack-tls-XXXXXX").string();
  DR_CHECK(mkdtemp(path.data()) != nullptr);
  folders.paths.push_back(path);
  DR_CHECK(
      std::system((InSourceTree("deploy/tls/make-certificates ") + path + " >/dev/null")
                      .c_str()) == 0);
  return path;
}

}  // namespace deeprack
