#include "harness/machine_lock.h"

#include <cstdio>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sys/file.h>
#include <unistd.h>

#include "lib/os/error.h"

namespace memsync {

namespace {

// The user as the whole machine knows it: within a user namespace everybody is root.
std::string user_outside() {
  std::ifstream map("/proc/self/uid_map");
  std::string inside, outside;
  map >> inside >> outside;
  return outside == "0" ? std::to_string(::geteuid()) : outside;
}

void wait_for_holder(const FileDescriptor& file) {
  char holder[32] = {};
  [[maybe_unused]] const auto got = ::pread(file.get(), holder, sizeof holder - 1, 0);
  fmt::print(stderr,
             "another campaign runs on this machine (process {}); waiting for its end, since two "
             "would measure each other (--concurrent runs beside it)\n",
             holder);
  while (::flock(file.get(), LOCK_EX) != 0)
    if (errno != EINTR) throw_errno("waiting for another campaign");
}

}  // namespace

MachineLock MachineLock::wait_for() {
  const auto path =
      std::filesystem::temp_directory_path() / ("memsync-" + user_outside() + ".lock");
  FileDescriptor file = FileDescriptor::open(path.string(), O_RDWR | O_CREAT, 0600);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) wait_for_holder(file);
  const std::string holder = std::to_string(::getpid());
  [[maybe_unused]] const int cut = ::ftruncate(file.get(), 0);
  [[maybe_unused]] const auto put = ::pwrite(file.get(), holder.data(), holder.size(), 0);
  return MachineLock(std::move(file));
}

}  // namespace memsync
