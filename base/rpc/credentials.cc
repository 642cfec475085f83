#include "base/rpc/credentials.h"

namespace deeprack {

std::shared_ptr<grpc::ServerCredentials> ServerCredentials(const std::optional<ClusterTls>& tls) {
  if (!tls.has_value()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = tls->authority;
  options.pem_key_cert_pairs.push_back({tls->key, tls->certificate});
  return grpc::SslServerCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> ChannelCredentials(const std::optional<ClusterTls>& tls,
                                                             grpc::ChannelArguments& arguments) {
  if (!tls.has_value()) return grpc::InsecureChannelCredentials();
  arguments.SetSslTargetNameOverride(kClusterName);
  return grpc::SslCredentials({tls->authority, tls->key, tls->certificate});
}

}  // namespace deeprack
