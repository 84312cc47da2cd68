#include "harness/campaign_tls.h"

#include "lib/transport/tls/certificate_authority.h"
#include "lib/transport/tls/tls_network.h"

namespace memsync {

nlohmann::json campaign_tls(const std::string& host) {
  static const auto kAuthority = CertificateAuthority::make("memsync campaign");
  const TlsPem pem = kAuthority.issue(host);
  return {{"ca", pem.ca}, {"cert", pem.cert}, {"key", pem.key}};
}

std::unique_ptr<Network> inside_campaign_tls(std::unique_ptr<Network> plain,
                                             const nlohmann::json& given) {
  return make_tls_network(
      std::move(plain),
      TlsCredentials::from_pem(
          {.ca = given.at("ca"), .cert = given.at("cert"), .key = given.at("key"), .crl = {}}));
}

}  // namespace memsync
