#include "harness/certificates.h"

#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <unistd.h>

#include "harness/exit_codes.h"
#include "lib/os/error.h"
#include "lib/os/file_descriptor.h"
#include "lib/transport/tls/certificate_authority.h"

namespace memsync {

namespace {

namespace fs = std::filesystem;

constexpr mode_t kPublic = 0644, kPrivate = 0600;

// "" for a file that isn't there.
std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Whole or not at all, whoever reads it meanwhile.
void write_file(const fs::path& path, const std::string& text, mode_t mode) {
  const std::string draft = path.string() + "." + std::to_string(::getpid());
  const auto file = FileDescriptor::open(draft, O_CREAT | O_TRUNC | O_WRONLY, mode);
  write_all(file.get(), text.data(), text.size(), "writing " + draft);
  check(::fsync(file.get()), "writing " + draft);
  check(::rename(draft.c_str(), path.c_str()), "writing " + path.string());
}

CertificateAuthority authority_in(const fs::path& folder) {
  const std::string certificate = read_file(folder / "ca.pem"),
                    key = read_file(folder / "ca-key.pem");
  if (certificate.empty() != key.empty())
    throw std::invalid_argument(
        fmt::format("{} has one of ca.pem and ca-key.pem, not both; put the other one there, or "
                    "choose another folder",
                    folder.string()));
  if (!certificate.empty()) return CertificateAuthority::from_pem(certificate, key);
  auto made = CertificateAuthority::make("memsync CA");
  write_file(folder / "ca-key.pem", made.key_pem(), kPrivate);
  write_file(folder / "ca.pem", made.certificate_pem(), kPublic);
  return made;
}

std::vector<std::string> words_of(const std::string& list) {
  std::vector<std::string> words;
  std::istringstream text(list);
  for (std::string word; std::getline(text, word, ',');) words.push_back(word);
  return words;
}

// A host's name becomes a folder's.
fs::path folder_of(const fs::path& folder, const std::string& host) {
  if (host.empty() || host.front() == '.' || host.find('/') != std::string::npos)
    throw std::invalid_argument("'" + host + "' is neither a host's name nor an IP address");
  return folder / host;
}

void issue(const CertificateAuthority& authority, const CertificatesOptions& options,
           const std::vector<std::string>& names) {
  const fs::path folder = folder_of(options.folder, names.empty() ? "" : names.front());
  const TlsPem pem = authority.issue(
      names, {.until = std::chrono::hours(24 * static_cast<int64_t>(options.days))});
  fs::create_directories(folder);
  write_file(folder / "ca.pem", pem.ca, kPublic);
  write_file(folder / "key.pem", pem.key, kPrivate);
  write_file(folder / "cert.pem", pem.cert, kPublic);
  fmt::print("{}\n", folder.string());
}

void revoke(const CertificateAuthority& authority, const CertificatesOptions& options) {
  std::vector<std::string> certificates;
  for (const std::string& host : options.revoked) {
    const fs::path path = folder_of(options.folder, host) / "cert.pem";
    certificates.push_back(read_file(path));
    if (certificates.back().empty())
      throw std::invalid_argument(path.string() + " is missing: nothing of that name to revoke");
  }
  const fs::path list = fs::path(options.folder) / "crl.pem";
  write_file(list, authority.revoke(certificates, read_file(list)), kPublic);
}

// Each host's folder is whole: what is copied to the host is all that it needs.
void share_list(const fs::path& folder) {
  const std::string list = read_file(folder / "crl.pem");
  if (list.empty()) return;
  for (const auto& entry : fs::directory_iterator(folder))
    if (fs::exists(entry.path() / "cert.pem")) write_file(entry.path() / "crl.pem", list, kPublic);
}

}  // namespace

int certificates_command(const CertificatesOptions& options) {
  try {
    fs::create_directories(options.folder);
    const CertificateAuthority authority = authority_in(options.folder);
    for (const std::string& name : options.names) issue(authority, options, words_of(name));
    if (!options.revoked.empty()) revoke(authority, options);
    share_list(options.folder);
  } catch (const std::system_error& problem) {  // of files and folders
    throw std::invalid_argument(problem.what());
  }
  return exit_code::kOk;
}

}  // namespace memsync
