// Credentials in a folder: what is refused of them, and that they change without a restart.
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <openssl/pem.h>

#include "lib/transport/tls/tls_test_support.h"

namespace memsync {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the support is made for this
using testing::HasSubstr;

void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

class Folder {
 public:
  explicit Folder(const TlsPem& pem) { fill(pem); }
  void fill(const TlsPem& pem) const {
    put("ca.pem", pem.ca);
    put("cert.pem", pem.cert);
    put("key.pem", pem.key);
    if (!pem.crl.empty()) put("crl.pem", pem.crl);
  }
  void put(const std::string& name, const std::string& text) const {
    write_file(path() + "/" + name, text);
  }
  const std::string& path() const { return directory_.path(); }

 private:
  TemporaryDirectory directory_;
};

std::string refusal(const Folder& folder) {
  try {
    TlsCredentials::from_folder(folder.path());
  } catch (const std::invalid_argument& problem) {
    return problem.what();
  }
  return "";
}

std::string name_in(const std::shared_ptr<SSL_CTX>& context) {
  return identity_of(SSL_CTX_get0_certificate(context.get())).common_name;
}

TEST(TlsFolder, NamesTheFileThatIsMissingAndHowToMakeIt) {
  const Folder folder(test_pem({"a"}));
  std::filesystem::remove(folder.path() + "/key.pem");
  EXPECT_THAT(refusal(folder),
              HasSubstr("/key.pem is missing, empty or not readable; `memsync ca"));
}

TEST(TlsFolder, RefusesAKeyOfAnotherCertificate) {
  const Folder folder(test_pem({"a"}));
  folder.put("key.pem", test_pem({"b"}).key);
  EXPECT_THAT(refusal(folder), HasSubstr("key.pem is not the key of cert.pem"));
}

TEST(TlsFolder, RefusesWhatEveryPeerWouldRefuse) {
  const Folder folder(test_pem({"a"}));
  folder.put("ca.pem", CertificateAuthority::make("others").certificate_pem());
  EXPECT_THAT(refusal(folder), HasSubstr("cert.pem would be refused by whoever trusts ca.pem"));
  const Folder old(test_ca().issue("a", {.until = std::chrono::minutes(-30)}));
  EXPECT_THAT(refusal(old), HasSubstr("certificate has expired"));
}

TEST(TlsFolder, RefusesFilesThatHoldSomethingElse) {
  for (const auto& [name, words] : std::map<std::string, std::string>{
           {"ca.pem", "ca.pem holds no certificate"},
           {"cert.pem", "cert.pem holds no certificate"},
           {"key.pem", "key.pem holds no key"},
           {"crl.pem", "crl.pem holds no list of revoked certificates"}}) {
    const Folder folder(test_pem({"a"}));
    folder.put(name, "-----BEGIN NONSENSE-----\nabc\n");
    EXPECT_THAT(refusal(folder), HasSubstr(words));
  }
}

TEST(TlsFolder, RefusesAKeyThatNeedsAPassphraseWithoutAskingForOne) {
  const TlsPem pem = test_pem({"a"});
  const tls::BioHandle memory(BIO_new(BIO_s_mem()));
  const tls::KeyHandle key = tls::key_of(pem.key);
  std::string passphrase = "secret";
  ASSERT_EQ(
      PEM_write_bio_PKCS8PrivateKey(memory.get(), key.get(), EVP_aes_128_cbc(), passphrase.data(),
                                    static_cast<int>(passphrase.size()), nullptr, nullptr),
      1);
  const Folder folder(pem);
  folder.put("key.pem", tls::text_in(memory.get()));
  EXPECT_THAT(refusal(folder), HasSubstr("or one with a passphrase"));
}

TEST(TlsFolder, IsReadAgainWhenItsFilesHaveChanged) {
  const Folder folder(test_pem({"first"}));
  const auto credentials = TlsCredentials::from_folder(folder.path());
  EXPECT_EQ(name_in(credentials->context()), "first");
  folder.fill(test_pem({"second"}));
  EXPECT_EQ(name_in(credentials->context()), "second");
}

TEST(TlsFolder, KeepsWhatItHadWhileASetIsHalfWrittenAndSaysSoOnce) {
  const Folder folder(test_pem({"first"}));
  std::vector<std::string> told;
  const auto credentials = TlsCredentials::from_folder(
      folder.path(), [&told](const std::string& sentence) { told.push_back(sentence); });
  const TlsPem next = test_pem({"second"});
  folder.put("cert.pem", next.cert);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(name_in(credentials->context()), "first");
  ASSERT_EQ(told.size(), 1u);
  EXPECT_THAT(told[0], HasSubstr("key.pem is not the key of cert.pem"));
  EXPECT_THAT(told[0], HasSubstr("those before stay"));
  folder.put("key.pem", next.key.substr(0, next.key.size() / 2));
  EXPECT_EQ(name_in(credentials->context()), "first");
  folder.put("key.pem", next.key);
  EXPECT_EQ(name_in(credentials->context()), "second");
}

TEST(TlsFolder, ANewListOfRevokedCertificatesCountsAtTheNextConnection) {
  const Folder folder(test_pem({"server"}));
  const auto server = TlsCredentials::from_folder(folder.path());
  const TlsPem pem = test_pem({"client"});
  const auto client = TlsCredentials::from_pem(pem)->context();
  const TlsPair before({client}, {server->context()});
  folder.put("crl.pem", test_ca().revoke(std::span(&pem.cert, 1)));
  const auto meet_now = [&] { const TlsPair pair({client}, {server->context()}); };
  EXPECT_EQ(said_by(meet_now).code, TlsError::refused_here);
  before.dialled->write_all(content(1, 0, 10), soon());  // what is there already goes on
  std::vector<std::byte> got(10);
  before.accepted->read_all(got, soon());
}

TEST(CertificateAuthority, AddsToAListOfRevokedCertificates) {
  const TlsPem first = test_pem({"first"}), second = test_pem({"second"});
  const std::string one = test_ca().revoke(std::span(&first.cert, 1));
  TlsPem server = test_pem({"server"});
  server.crl = test_ca().revoke(std::span(&second.cert, 1), one);
  const auto context = TlsCredentials::from_pem(server)->context();
  for (const TlsPem& pem : {first, second})
    EXPECT_EQ(said_by([&] {
                const TlsPair pair({TlsCredentials::from_pem(pem)->context()}, {context});
              }).code,
              TlsError::refused_here);
}

TEST(CertificateAuthority, IsReadFromItsFilesAgain) {
  const auto again =
      CertificateAuthority::from_pem(test_ca().certificate_pem(), test_ca().key_pem());
  TlsCredentials::from_pem(again.issue("later"));
  EXPECT_THROW(CertificateAuthority::from_pem(test_ca().certificate_pem(), test_pem({"a"}).key),
               std::invalid_argument);
  EXPECT_THROW(CertificateAuthority::from_pem("", test_ca().key_pem()), std::invalid_argument);
}

TEST(CertificateAuthority, RefusesWhatIsNoName) {
  for (const char* name : {"", "a b", "a,DNS:b", "x\ny", "10.0.0.0.1/8"})
    EXPECT_THROW(test_ca().issue(name), std::invalid_argument) << name;
  EXPECT_THROW(test_ca().issue(std::string(65, 'a')), std::invalid_argument);
  EXPECT_THROW(test_ca().issue(std::span<const std::string>{}), std::invalid_argument);
}

}  // namespace
}  // namespace memsync
