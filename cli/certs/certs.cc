#include "cli/certs/certs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/rpc/certificate_text.h"
#include "base/rpc/cluster_tls.h"
#include "base/status_macros.h"
#include "cli/certs/authority.h"

namespace deeprack::cli {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kSecret = 0600, kPublic = 0644;
constexpr absl::Duration kDay = absl::Hours(24);
// A certificate is valid a little before it is made, for machines whose clocks are late.
constexpr absl::Duration kClocksApart = absl::Minutes(5);

struct NewFile {
  std::string path, text;
  mode_t mode = kPublic;
};

absl::Status Unwritable(const std::string& path, int error) {
  return absl::FailedPreconditionError(absl::StrCat(path, ": cannot be written: ", std::strerror(error)));
}

// Writes a file that does not exist yet.
absl::Status WriteNew(const NewFile& file) {
  const int fd = open(file.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, file.mode);
  if (fd < 0 && errno == EEXIST) {
    return absl::FailedPreconditionError(
        absl::StrCat(file.path, " exists already; `deeprack certs` overwrites nothing. Name another folder"));
  }
  if (fd < 0) return Unwritable(file.path, errno);
  const ssize_t written = write(fd, file.text.data(), file.text.size());
  int error = written == static_cast<ssize_t>(file.text.size()) ? 0 : (written < 0 ? errno : ENOSPC);
  if (fchmod(fd, file.mode) != 0 && error == 0) error = errno;  // whatever the umask
  if (fsync(fd) != 0 && error == 0) error = errno;
  if (close(fd) != 0 && error == 0) error = errno;
  if (error == 0) return absl::OkStatus();
  unlink(file.path.c_str());
  return Unwritable(file.path, error);
}

// Writes all files, or none.
absl::Status WriteAll(const std::string& folder, const std::vector<NewFile>& files) {
  std::error_code error;
  const bool made = fs::create_directories(folder, error);
  if (error) return Unwritable(folder, error.value());
  if (made) chmod(folder.c_str(), 0700);
  for (size_t i = 0; i < files.size(); ++i) {
    absl::Status status = WriteNew(files[i]);
    if (status.ok()) continue;
    for (size_t written = 0; written < i; ++written) unlink(files[written].path.c_str());
    if (made) rmdir(folder.c_str());
    return status;
  }
  return absl::OkStatus();
}

absl::Time WholeSecond(absl::Time time) { return absl::FromUnixSeconds(absl::ToUnixSeconds(time)); }

absl::StatusOr<CertificateRequest> RequestOf(const CertsOptions& options, absl::Time now) {
  CertificateRequest request{.names = {kClusterName},
                             .begins = WholeSecond(now - kClocksApart),
                             .ends = WholeSecond(now + options.days * kDay)};
  for (const std::string& host : options.hosts) {
    if (!IsHostName(host)) {
      return absl::InvalidArgumentError(
          absl::StrCat("host '", host, "' is no name and no IP address of a machine"));
    }
    request.names.push_back(host);
  }
  return request;
}

void SayMade(const std::string& folder, const CertificateRequest& request, const char* also) {
  std::printf("%s: made a certificate for %s, valid until %s\ncopy ca.crt, tls.crt and tls.key %s\n",
              folder.c_str(), absl::StrJoin(request.names, ", ").c_str(), TimeText(request.ends).c_str(),
              also);
}

std::string DaysLeft(absl::Time ends, absl::Time now) {
  if (ends <= now) return "has expired";
  const int64_t days = (ends - now) / kDay;
  return absl::StrCat(days, days == 1 ? " day left" : " days left");
}

void Show(const char* file, const CertificateFacts& facts, absl::Time now) {
  std::printf("%s\n  who      %s\n", file, facts.subject.c_str());
  if (!facts.names.empty()) std::printf("  names    %s\n", absl::StrJoin(facts.names, ", ").c_str());
  std::printf("  valid    %s to %s (%s)\n", TimeText(facts.begins).c_str(), TimeText(facts.ends).c_str(),
              DaysLeft(facts.ends, now).c_str());
}

// Whether `folder` has the two files that sign.
absl::Status CheckAuthority(const std::string& folder) {
  std::error_code ignored;
  if (fs::status(folder, ignored).type() == fs::file_type::not_found)
    return absl::FailedPreconditionError(absl::StrCat(folder, ": no such folder"));
  for (const char* name : {"/ca.crt", "/ca.key"}) {
    if (fs::status(folder + name, ignored).type() != fs::file_type::not_found) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("no authority in ", folder, " (ca.crt and ca.key): ", name + 1,
                     " is missing; name the folder of `deeprack certs make`"));
  }
  return absl::OkStatus();
}

absl::StatusOr<CertificateFacts> FactsOfFile(const std::string& path) {
  DR_ASSIGN_OR_RETURN(const std::string text, ReadPemFile(path));
  const auto certificates = ParseCertificates(text);
  if (!certificates.ok())
    return absl::FailedPreconditionError(absl::StrCat(path, ": ", certificates.status().message()));
  return FactsOf(*sk_X509_value(certificates->get(), 0));
}

}  // namespace

absl::Status MakeCerts(const std::string& folder, const CertsOptions& options, absl::Time now) {
  DR_ASSIGN_OR_RETURN(const CertificateRequest request, RequestOf(options, now));
  DR_ASSIGN_OR_RETURN(const Issued authority,
                      MakeAuthority(request.begins, WholeSecond(now + kAuthorityDays * kDay)));
  DR_ASSIGN_OR_RETURN(const Issued member, Sign(authority, request));
  DR_RETURN_IF_ERROR(WriteAll(folder, {{folder + "/ca.key", authority.key, kSecret},
                                       {folder + "/ca.crt", authority.certificate, kPublic},
                                       {folder + "/tls.key", member.key, kSecret},
                                       {folder + "/tls.crt", member.certificate, kPublic}}));
  SayMade(folder, request, "to every machine; keep ca.key off the cluster, for `deeprack certs add`");
  return absl::OkStatus();
}

absl::Status AddCert(const std::string& authority, const std::string& folder, const CertsOptions& options,
                     absl::Time now) {
  DR_ASSIGN_OR_RETURN(const CertificateRequest request, RequestOf(options, now));
  DR_RETURN_IF_ERROR(CheckAuthority(authority));
  const std::string ca_path = authority + "/ca.crt";
  Issued issuer;
  DR_ASSIGN_OR_RETURN(issuer.certificate, ReadPemFile(ca_path));
  DR_ASSIGN_OR_RETURN(issuer.key, ReadPemFile(authority + "/ca.key"));
  DR_ASSIGN_OR_RETURN(const CertificateFacts facts, FactsOfFile(ca_path));
  if (request.ends > facts.ends) {
    return absl::FailedPreconditionError(
        absl::StrCat(ca_path, ": the authority ends at ", TimeText(facts.ends), ", before the ", options.days,
                     " days of --days; ask for at most ", std::max<int64_t>(0, (facts.ends - now) / kDay),
                     " days, or make a new authority"));
  }
  const absl::StatusOr<Issued> member = Sign(issuer, request);
  if (absl::IsInvalidArgument(member.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat(authority, "/ca.crt and ca.key: the authority ", member.status().message()));
  }
  DR_RETURN_IF_ERROR(member.status());
  DR_RETURN_IF_ERROR(CheckClusterTls({issuer.certificate, member->certificate, member->key}, folder));
  DR_RETURN_IF_ERROR(WriteAll(folder, {{folder + "/tls.key", member->key, kSecret},
                                       {folder + "/ca.crt", issuer.certificate, kPublic},
                                       {folder + "/tls.crt", member->certificate, kPublic}}));
  SayMade(folder, request, "to the machines that shall use them");
  return absl::OkStatus();
}

absl::Status ShowCerts(const std::string& folder, absl::Time now) {
  DR_ASSIGN_OR_RETURN(const CertificateFacts authority, FactsOfFile(folder + "/ca.crt"));
  Show("ca.crt: the authority", authority, now);
  std::error_code ignored;
  if (fs::exists(folder + "/ca.key", ignored)) {
    std::printf("  ca.key   is here: it signs further certificates; keep it off the cluster\n");
  }
  DR_ASSIGN_OR_RETURN(const CertificateFacts member, FactsOfFile(folder + "/tls.crt"));
  Show("tls.crt: a member of the cluster", member, now);
  std::fflush(stdout);
  return LoadClusterTls(folder).status();
}

}  // namespace deeprack::cli
