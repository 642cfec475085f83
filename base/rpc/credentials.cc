#include "base/rpc/credentials.h"

#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/rpc/rpc_log.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_certificate_verifier.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace deeprack {
namespace {

namespace tls_api = grpc::experimental;

std::string TextOf(const grpc::string_ref& text) { return std::string(text.data(), text.size()); }

// Decides whether a peer is a member of the cluster. gRPC calls Verify after each handshake, before any
// message, and closes the connection when Verify refuses. The handshake proves that the peer holds the key of
// the certificate that the peer presents. Everything else about the certificate is checked here and only
// here, because OpenSSL's check in the handshake would not say what is wrong.
class PeerCheck final : public tls_api::ExternalCertificateVerifier {
 public:
  PeerCheck(std::string authority, PeerRole role) : authority_(std::move(authority)), role_(role) {}

  bool Verify(tls_api::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* status) override {
    // On a server, OpenSSL leaves the peer's own certificate out of the chain.
    const std::string own = TextOf(request->peer_cert());
    const std::string chain = absl::StrCat(own, "\n", TextOf(request->peer_cert_full_chain()));
    const std::string refusal =
        own.empty() ? "it presents no certificate" : RefusalOfPeer(authority_, chain, role_);
    if (refusal.empty()) {
      *status = grpc::Status::OK;
    } else {
      LogRefusal(absl::StrCat("refused a ", role_ == PeerRole::kClient ? "client" : "server",
                              " of the cluster's ports: ", refusal));
      *status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, refusal);
    }
    return true;  // decided now
  }

  void Cancel(tls_api::TlsCustomVerificationCheckRequest*) override {}

 private:
  const std::string authority_;
  const PeerRole role_;
};

void SetMember(const ClusterTls& tls, PeerRole peer, tls_api::TlsCredentialsOptions& options) {
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_certificate_verifier(
      tls_api::ExternalCertificateVerifier::Create<PeerCheck>(tls.authority, peer));
}

std::shared_ptr<tls_api::CertificateProviderInterface> ProviderOf(const ClusterTls& tls) {
  return std::make_shared<tls_api::StaticDataCertificateProvider>(
      tls.authority, std::vector<tls_api::IdentityKeyCertPair>{{tls.key, tls.certificate}});
}

}  // namespace

std::shared_ptr<grpc::ServerCredentials> ServerCredentials(const std::optional<ClusterTls>& tls) {
  if (!tls.has_value()) return grpc::InsecureServerCredentials();
  tls_api::TlsServerCredentialsOptions options(ProviderOf(*tls));
  SetMember(*tls, PeerRole::kClient, options);
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  return tls_api::TlsServerCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> ChannelCredentials(const std::optional<ClusterTls>& tls,
                                                             grpc::ChannelArguments& arguments) {
  if (!tls.has_value()) return grpc::InsecureChannelCredentials();
  arguments.SetSslTargetNameOverride(kClusterName);
  tls_api::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(ProviderOf(*tls));
  SetMember(*tls, PeerRole::kServer, options);
  options.set_verify_server_certs(false);  // PeerCheck does
  return tls_api::TlsCredentials(options);
}

}  // namespace deeprack
