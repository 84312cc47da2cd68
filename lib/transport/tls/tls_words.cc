#include "lib/transport/tls/tls_words.h"

#include <openssl/err.h>

#include "lib/os/error.h"

namespace memsync {

namespace {

class TlsCategory : public std::error_category {
 public:
  const char* name() const noexcept override { return "tls"; }
  std::string message(int value) const override {
    switch (static_cast<TlsError>(value)) {
      case TlsError::refused_here:
        return "refused by this end";
      case TlsError::refused_there:
        return "refused by the other end";
      case TlsError::no_tls:
        return "not TLS 1.3";
    }
    return "unknown";
  }
};

}  // namespace

const std::error_category& tls_category() noexcept {
  static const TlsCategory kCategory;
  return kCategory;
}

namespace tls {

namespace {

// OpenSSL numbers the alerts that it receives from here on.
constexpr int kAlertOffset = SSL_AD_REASON_OFFSET;

std::string expiry_of(X509* certificate) {
  const BioHandle text(BIO_new(BIO_s_mem()));
  if (!text || ASN1_TIME_print(text.get(), X509_get0_notAfter(certificate)) != 1) return "";
  return " (" + text_in(text.get()) + ")";
}

std::string names_of(const PeerIdentity& identity) {
  std::string text;
  for (const std::string& name : identity.names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "no host at all" : text;
}

// Of the peer's certificate, which this end does not take.
std::string verdict_on_peer(const Circumstances& known) {
  X509* const theirs = known.theirs;
  const std::string who =
      "refused " + known.peer + ": its certificate" +
      (theirs == nullptr ? std::string() : " ('" + common_name_of(theirs) + "')") + " ";
  const long verdict = SSL_get_verify_result(known.ssl);
  switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return who + "has expired" + (theirs == nullptr ? "" : expiry_of(theirs)) +
             "; it needs a new one";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return who + "is not valid yet; compare both clocks";
    case X509_V_ERR_CERT_REVOKED:
      return who + "is revoked (crl.pem)";
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_UNABLE_TO_GET_CRL:
      return who + "can't be looked up: crl.pem here has expired or is of another CA";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return who + "is not for '" + known.host + "', which was dialled, but for " +
             (theirs == nullptr ? "others" : names_of(identity_of(theirs)));
    case X509_V_ERR_APPLICATION_VERIFICATION:
      return who + "is right, but " + known.objection;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return who + "is of a CA that ca.pem here does not hold";
    default:
      return who + "does not do: " + X509_verify_cert_error_string(verdict);
  }
}

std::string verdict_on_us(const Circumstances& known, int alert) {
  const std::string own = "'" + common_name_of(SSL_get_certificate(known.ssl)) + "'";
  const std::string who = known.peer + " refused this end (" + own + "): ";
  switch (alert) {
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_DECRYPT_ERROR:
      return who + "our certificate is of a CA that its ca.pem does not hold";
    case SSL_AD_CERTIFICATE_EXPIRED:
      return who + "for its clock our certificate is not valid any more, or not yet";
    case SSL_AD_CERTIFICATE_REVOKED:
      return who + "our certificate is revoked";
    case SSL_AD_CERTIFICATE_REQUIRED:
      return who + "it wants a certificate and got none";
    case SSL_AD_PROTOCOL_VERSION:
      return known.peer + " speaks another version of TLS, or none; here it is TLS 1.3";
    case SSL_AD_BAD_CERTIFICATE:
      return who + (known.role == TlsStream::Role::accepted
                        ? "the host that it dialled is none of our certificate's names"
                        : "it takes our certificate for a wrong one");
    case SSL_AD_HANDSHAKE_FAILURE:
      return who + (known.is_shaken ? "its policy does not let " + own + " in"
                                    : "it has no way of encrypting in common with us");
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
      return who + "our certificate is for other purposes";
    default:
      return who + SSL_alert_desc_string_long(alert);
  }
}

bool is_old_tls(int reason) {
  return reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_VERSION_TOO_LOW ||
         reason == SSL_R_NO_PROTOCOLS_AVAILABLE || reason == SSL_R_WRONG_SSL_VERSION;
}

bool is_plaintext(int reason) {
  return reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
         reason == SSL_R_HTTPS_PROXY_REQUEST || reason == SSL_R_BAD_RECORD_TYPE ||
         reason == SSL_R_PACKET_LENGTH_TOO_LONG || reason == SSL_R_RECORD_TOO_SMALL;
}

}  // namespace

std::string common_name_of(X509* certificate) {
  return certificate == nullptr ? "" : identity_of(certificate).common_name;
}

std::system_error failure_of(const Circumstances& known) {
  const unsigned long code = ERR_peek_error();
  const int reason = ERR_GET_REASON(code);
  const std::string text = openssl_reason();
  const bool shaken = known.is_shaken;
  if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
    return {ECONNRESET, std::generic_category(),
            shaken ? known.peer + " ended the connection without ending TLS"
                   : known.peer + " ended the connection in mid-handshake; does it speak TLS?"};
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
    return {TlsError::refused_here, verdict_on_peer(known)};
  if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
    return {TlsError::refused_here, "refused " + known.peer + ": it shows no certificate"};
  if (is_old_tls(reason))
    return {TlsError::no_tls, known.peer + " speaks TLS 1.2 or older; here it is TLS 1.3"};
  if (!shaken && is_plaintext(reason))
    return {TlsError::no_tls,
            known.peer + " speaks no TLS while this end does (--tls at both ends or at none)"};
  if (reason >= kAlertOffset)
    return {TlsError::refused_there, verdict_on_us(known, reason - kAlertOffset)};
  const std::string what = shaken ? "the TLS connection with " : "the TLS handshake with ";
  return {shaken ? std::error_code(ECONNABORTED, std::generic_category())
                 : make_error_code(TlsError::no_tls),
          what + known.peer + " broke: " + text};
}

}  // namespace tls

}  // namespace memsync
