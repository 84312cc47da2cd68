#include "lib/os/temporary_folder.h"

#include <cstdlib>
#include <filesystem>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/os/error.h"

namespace memsync {

TemporaryFolder TemporaryFolder::make(const std::string& where) {
  std::string name = where + "/" + kPrefix + std::to_string(::getpid()) + "-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw_errno("making the folder " + name);
  return TemporaryFolder{std::move(name)};
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

bool is_in_memory(const std::string& folder) {
  struct statfs about{};
  check(::statfs(folder.c_str(), &about), "looking at the file system of " + folder);
  return about.f_type == TMPFS_MAGIC || about.f_type == RAMFS_MAGIC;
}

}  // namespace memsync
