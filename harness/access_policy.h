// Who may read, publish and finalize what, as a file says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/transport/stream.h"

namespace memsync {

enum class Right : uint8_t { read, publish, finalize };

//   schema: 1
//   allow:
//     - {who: backup, publish: ["logs/*", disk.img]}
//     - {who: "*", read: [model.bin]}
//
// `who` is a certificate's common name or one of its other names, or * for everybody whom the CA
// knows. In names * stands for any characters, / too, ? for one and [abc] for one of these
// (fnmatch(3)). What no entry allows is refused. Threads: any.
class AccessPolicy {
 public:
  // Throws std::invalid_argument or SuiteError, one sentence that names the place, for what is
  // missing or no such file.
  static AccessPolicy from_file(const std::string& path);

  // "" when it may; otherwise one sentence.
  std::string objection(const PeerIdentity& who, Right right, const std::string& name) const;
  // The same for somebody who may nothing of that kind, whatever the name.
  std::string objection(const PeerIdentity& who, Right right) const;

 private:
  struct Entry {
    std::string who;
    std::vector<std::string> names[3];  // by Right
  };
  template <typename Matches>
  bool allows(const PeerIdentity& who, Right right, const Matches& matches) const;

  std::string path_;
  std::vector<Entry> entries_;
};

}  // namespace memsync
