#include "lib/transport/tls/tls_credentials.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sstream>
#include <stdexcept>
#include <sys/stat.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "lib/os/file_descriptor.h"
#include "lib/transport/tls/openssl_handles.h"

namespace memsync {

using tls::require;

namespace {

constexpr size_t kFileLimit = 1 << 20;
constexpr long kCertificatesLimit = 16 << 10;  // bytes that a stranger may send for a chain
constexpr int kDepthMax = 4;
// Several records by one system call; OpenSSL asks its BIO for this much at a time.
constexpr size_t kReadBytes = 128 << 10;

struct File {
  const char* name;
  std::string TlsPem::* text;
  bool is_needed;
};
constexpr std::array<File, 4> kFiles = {{{"ca.pem", &TlsPem::ca, true},
                                         {"cert.pem", &TlsPem::cert, true},
                                         {"key.pem", &TlsPem::key, true},
                                         {"crl.pem", &TlsPem::crl, false}}};

bool has_aes_instructions() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("aes") != 0;
#elif defined(__aarch64__)
  return (::getauxval(AT_HWCAP) & HWCAP_AES) != 0;
#else
  return false;
#endif
}

const char* cipher_suites() {
  return has_aes_instructions()
             ? "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
             : "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384";
}

// What changes when a file is written or another takes its place; "" while that may have happened
// twice within one tick of the file system's clock.
std::string state_of(const std::string& folder) {
  std::ostringstream state;
  time_t newest = 0;
  for (const File& file : kFiles) {
    struct stat now{};
    if (::stat((folder + "/" + file.name).c_str(), &now) != 0)
      state << "-;";
    else
      state << now.st_dev << ',' << now.st_ino << ',' << now.st_size << ',' << now.st_mtim.tv_sec
            << '.' << now.st_mtim.tv_nsec << ',' << now.st_ctim.tv_sec << '.' << now.st_ctim.tv_nsec
            << ';';
    newest = std::max(newest, now.st_ctim.tv_sec);
  }
  return newest + 1 < ::time(nullptr) ? state.str() : std::string{};
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return {};
  std::string text(kFileLimit, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

TlsPem read_folder(const std::string& folder) {
  TlsPem pem;
  for (const File& file : kFiles) {
    pem.*file.text = read_file(folder + "/" + file.name);
    if (file.is_needed && (pem.*file.text).empty())
      throw std::invalid_argument(
          folder + "/" + file.name +
          " is missing, empty or not readable; `memsync ca` makes such folders");
  }
  return pem;
}

void trust(X509_STORE* store, const TlsPem& pem) {
  const auto authorities = tls::reader_of(pem.ca);
  int count = 0;
  while (const tls::CertificateHandle one{
      PEM_read_bio_X509(authorities.get(), nullptr, nullptr, nullptr)}) {
    require(X509_STORE_add_cert(store, one.get()) == 1, "ca.pem");
    ++count;
  }
  ERR_clear_error();
  if (count == 0) throw std::invalid_argument("ca.pem holds no certificate");
  if (pem.crl.empty()) return;
  const auto lists = tls::reader_of(pem.crl);
  const tls::CrlHandle list{PEM_read_bio_X509_CRL(lists.get(), nullptr, nullptr, nullptr)};
  ERR_clear_error();
  if (!list) throw std::invalid_argument("crl.pem holds no list of revoked certificates");
  require(X509_STORE_add_crl(store, list.get()) == 1, "crl.pem");
  X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
}

void use_own(SSL_CTX* context, const TlsPem& pem) {
  const auto chain = tls::reader_of(pem.cert);
  const tls::CertificateHandle own{PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)};
  if (!own) throw std::invalid_argument("cert.pem holds no certificate");
  const auto key = tls::key_of(pem.key);
  if (!key) throw std::invalid_argument("key.pem holds no key, or one with a passphrase");
  require(SSL_CTX_use_certificate(context, own.get()) == 1, "cert.pem");
  while (tls::CertificateHandle next{PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)}) {
    require(SSL_CTX_add0_chain_cert(context, next.get()) == 1, "cert.pem");
    next.release();  // the context's now
  }
  ERR_clear_error();
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    ERR_clear_error();
    throw std::invalid_argument("key.pem is not the key of cert.pem");
  }
}

// What every peer would find, found before one comes.
void check_own(SSL_CTX* context) {
  const std::unique_ptr<X509_STORE_CTX, tls::Freed<X509_STORE_CTX_free>> check(
      X509_STORE_CTX_new());
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(context, &chain);
  require(check && X509_STORE_CTX_init(check.get(), SSL_CTX_get_cert_store(context),
                                       SSL_CTX_get0_certificate(context), chain) == 1,
          "checking cert.pem");
  if (X509_verify_cert(check.get()) == 1) return;
  ERR_clear_error();
  throw std::invalid_argument(
      "cert.pem would be refused by whoever trusts ca.pem: " +
      std::string(X509_verify_cert_error_string(X509_STORE_CTX_get_error(check.get()))));
}

std::shared_ptr<SSL_CTX> make_context(const TlsPem& pem) {
  tls::ContextHandle context(SSL_CTX_new(TLS_method()));
  SSL_CTX* const made = context.get();
  require(made != nullptr && SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_max_proto_version(made, TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_ciphersuites(made, cipher_suites()) == 1 &&
              SSL_CTX_set_num_tickets(made, 0) == 1 && SSL_CTX_set_max_early_data(made, 0) == 1,
          "preparing TLS 1.3");
  SSL_CTX_set_options(made, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_verify_depth(made, kDepthMax);
  SSL_CTX_set_max_cert_list(made, kCertificatesLimit);
  SSL_CTX_set_read_ahead(made, 1);
  SSL_CTX_set_default_read_buffer_len(made, kReadBytes);
  trust(SSL_CTX_get_cert_store(made), pem);
  use_own(made, pem);
  check_own(made);
  return context;
}

}  // namespace

std::shared_ptr<TlsCredentials> TlsCredentials::from_folder(std::string folder, Tell tell) {
  std::shared_ptr<TlsCredentials> made(new TlsCredentials(std::move(folder), std::move(tell)));
  const MutexLock lock(made->mutex_);
  made->state_ = state_of(made->folder_);
  try {
    made->context_ = make_context(read_folder(made->folder_));
  } catch (const std::runtime_error& problem) {
    throw std::invalid_argument("TLS credentials of " + made->folder_ + ": " + problem.what());
  } catch (const std::invalid_argument& problem) {
    throw std::invalid_argument("TLS credentials of " + made->folder_ + ": " + problem.what());
  }
  return made;
}

std::shared_ptr<TlsCredentials> TlsCredentials::from_pem(const TlsPem& pem) {
  std::shared_ptr<TlsCredentials> made(new TlsCredentials("", {}));
  const MutexLock lock(made->mutex_);
  try {
    made->context_ = make_context(pem);
  } catch (const std::runtime_error& problem) {
    throw std::invalid_argument(problem.what());
  }
  return made;
}

std::shared_ptr<SSL_CTX> TlsCredentials::context() {
  const MutexLock lock(mutex_);
  if (!folder_.empty()) read_again();
  return context_;
}

void TlsCredentials::read_again() {
  const std::string state = state_of(folder_);
  if (!state.empty() && state == state_) return;
  std::string problem;
  try {
    context_ = make_context(read_folder(folder_));
  } catch (const std::exception& found) {
    problem = found.what();
  }
  state_ = state;
  if (problem == told_) return;
  told_ = problem;
  if (tell_ && !problem.empty())
    tell_("the new TLS credentials of " + folder_ +
          " can't be used, those before stay: " + problem);
}

}  // namespace memsync
