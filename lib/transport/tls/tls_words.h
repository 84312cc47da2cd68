// What OpenSSL's reasons mean for a person: which side refused whom, why, and what to do.
#pragma once

#include <string>
#include <system_error>

#include "lib/transport/tls/openssl_handles.h"
#include "lib/transport/tls/tls_stream.h"

namespace memsync::tls {

// What is known when a call on `ssl` has failed with SSL_ERROR_SSL. Empties the error queue.
struct Circumstances {
  SSL* ssl;
  X509* theirs;  // the peer's certificate, trusted or not; null if it has shown none
  TlsStream::Role role;
  bool is_shaken;                // the handshake was over for this end
  const std::string& peer;       // in words
  const std::string& host;       // that was dialled
  const std::string& objection;  // of this end to an identity that is right otherwise
};
std::system_error failure_of(const Circumstances& known);

// The common name of a certificate of ours or of a peer's; "" without one.
std::string common_name_of(X509* certificate);

}  // namespace memsync::tls
