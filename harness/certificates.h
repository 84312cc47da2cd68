// memsync ca: a CA of one's own and certificates of hosts, as folders for --tls.
#pragma once

#include <string>
#include <vector>

namespace memsync {

struct CertificatesOptions {
  std::string folder;
  std::vector<std::string> names;    // each HOST or HOST,OTHER NAME,IP ADDRESS...
  std::vector<std::string> revoked;  // hosts
  uint64_t days = 825;               // how long hosts' certificates are good
};

// Makes FOLDER/ca.pem and ca-key.pem unless they are there, FOLDER/HOST/{ca,cert,key}.pem for each
// name (in place of those that are there), and FOLDER/crl.pem, copied into each host's folder.
// Prints the folders. Returns an exit code; throws std::invalid_argument for usage.
int certificates_command(const CertificatesOptions& options);

}  // namespace memsync
