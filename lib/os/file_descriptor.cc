#include "lib/os/file_descriptor.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/os/error.h"

namespace memsync {

FileDescriptor FileDescriptor::open(const std::string& path, int flags, mode_t mode) {
  return FileDescriptor{check(::open(path.c_str(), flags | O_CLOEXEC, mode), "opening " + path)};
}

FileDescriptor FileDescriptor::event() {
  return FileDescriptor{check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")};
}

FileDescriptor FileDescriptor::memory_file(const std::string& name, uint64_t size_bytes) {
  FileDescriptor file{check(::memfd_create(name.c_str(), MFD_CLOEXEC), "memfd_create " + name)};
  check(::ftruncate(file.get(), static_cast<off_t>(size_bytes)),
        "sizing memory file " + name + " to " + std::to_string(size_bytes) + " bytes");
  return file;
}

std::pair<FileDescriptor, FileDescriptor> FileDescriptor::pipe() {
  int ends[2];
  check(::pipe2(ends, O_CLOEXEC), "pipe");
  std::pair<FileDescriptor, FileDescriptor> result{ends[0], ends[1]};
  check(::fcntl(ends[0], F_SETFL, O_NONBLOCK), "making a pipe's end non-blocking");
  return result;
}

std::pair<FileDescriptor, FileDescriptor> FileDescriptor::socket_pair() {
  int ends[2];
  check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair");
  return {FileDescriptor{ends[0]}, FileDescriptor{ends[1]}};
}

FileDescriptor::~FileDescriptor() {
  if (number_ >= 0) ::close(number_);
}

FileDescriptor FileDescriptor::duplicate() const {
  return FileDescriptor{check(::fcntl(number_, F_DUPFD_CLOEXEC, 0), "duplicating a descriptor")};
}

void allow_all_descriptors() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void signal_event(const FileDescriptor& event) noexcept {
  const uint64_t one = 1;
  // EAGAIN means the counter is full: the waiter is woken anyway.
  [[maybe_unused]] const auto written = ::write(event.get(), &one, sizeof one);
}

void drain_event(const FileDescriptor& event) noexcept {
  uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(event.get(), &count, sizeof count);
}

void write_all(int fd, const void* from, size_t size, const std::string& attempt) {
  const auto* next = static_cast<const char*>(from);
  while (size > 0) {
    const ssize_t written = ::write(fd, next, size);
    if (written < 0 && errno == EINTR) continue;
    check(written, attempt);
    next += written;
    size -= static_cast<size_t>(written);
  }
}

void read_all(int fd, void* into, size_t size, const std::string& attempt) {
  auto* next = static_cast<char*>(into);
  while (size > 0) {
    const ssize_t got = ::read(fd, next, size);
    if (got < 0 && errno == EINTR) continue;
    check(got, attempt);
    if (got == 0) throw_errno(attempt + ": ended early", EIO);
    next += got;
    size -= static_cast<size_t>(got);
  }
}

}  // namespace memsync
