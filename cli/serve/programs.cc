#include "cli/serve/programs.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"

namespace deeprack::cli {

namespace fs = std::filesystem;

std::string ExecutableFolder() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  return error ? "." : self.parent_path().string();
}

absl::StatusOr<std::string> FindProgram(const std::string& name) {
  const std::string path = absl::StrCat(ExecutableFolder(), "/", name);
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": not found; `make build` makes the three programs"));
  }
  return path;
}

std::vector<std::string> MpirunEnvironment() {
  const passwd* user = getpwuid(geteuid());
  return {"PATH=/usr/local/bin:/usr/bin:/bin", absl::StrCat("HOME=", user != nullptr ? user->pw_dir : "/")};
}

absl::StatusOr<std::string> FindDemoModel() {
  std::vector<std::string> places;
  if (const char* named = std::getenv("DEEPRACK_DEMO_MODEL")) {
    places.push_back(named);
  } else {
    const fs::path folder = ExecutableFolder();
    // build/bin, build/<preset>/bin, and an installation's bin.
    for (const char* place : {"../../demo/model", "../../../demo/model", "../share/deeprack/demo/model"}) {
      places.push_back((folder / place).lexically_normal().string());
    }
  }
  std::error_code ignored;
  for (const std::string& place : places) {
    if (fs::exists(fs::path(place) / "config.json", ignored)) return place;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the demo model is not there (looked at ", absl::StrJoin(places, ", "),
                   "); name a model folder: deeprack serve MODEL, or set DEEPRACK_DEMO_MODEL"));
}

absl::StatusOr<std::string> FindDemoQuestions() {
  DR_ASSIGN_OR_RETURN(const std::string model, FindDemoModel());
  const fs::path path = (fs::path(model) / ".." / "questions.json").lexically_normal();
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    return absl::FailedPreconditionError(absl::StrCat(path.string(), ": not found"));
  return path.string();
}

}  // namespace deeprack::cli
