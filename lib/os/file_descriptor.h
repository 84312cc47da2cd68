// An open file description that closes itself.
#pragma once

#include <cstdint>
#include <fcntl.h>
#include <string>
#include <utility>

namespace memsync {

// Passing one by value passes the ownership; get() lends the number for the length of a call.
// Move-only; an empty one holds -1. Threads: as for the number itself.
class FileDescriptor {
 public:
  FileDescriptor() noexcept = default;
  explicit FileDescriptor(int number) noexcept : number_(number) {}

  // open(2) with O_CLOEXEC. Throws std::system_error "opening <path>".
  static FileDescriptor open(const std::string& path, int flags, mode_t mode = 0644);
  // A counter that poll(2) sees: the wake-up of an event loop. Non-blocking.
  static FileDescriptor event();
  // An anonymous memory file of `size_bytes` bytes (memfd_create(2)).
  static FileDescriptor memory_file(const std::string& name, uint64_t size_bytes);
  // A pipe: the end to read from, which never blocks, and the end to write to, which may.
  static std::pair<FileDescriptor, FileDescriptor> pipe();
  // Two connected UNIX stream sockets; both close on exec.
  static std::pair<FileDescriptor, FileDescriptor> socket_pair();

  FileDescriptor(FileDescriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~FileDescriptor();

  int get() const noexcept { return number_; }
  bool is_open() const noexcept { return number_ >= 0; }
  // Gives the number away; this one is empty afterwards.
  int release() noexcept { return std::exchange(number_, -1); }
  // A second descriptor of the same description (close-on-exec).
  FileDescriptor duplicate() const;

 private:
  int number_ = -1;
};

// Lets this process have as many descriptors as it may ask for: the soft RLIMIT_NOFILE, mostly
// 1024, becomes the hard one. Never throws.
void allow_all_descriptors() noexcept;

// Adds one to an event() descriptor / takes what is there. Never block, never throw.
void signal_event(const FileDescriptor& event) noexcept;
void drain_event(const FileDescriptor& event) noexcept;

// Writes or reads all of `size` bytes, going on after EINTR and short counts.
// Throws std::system_error naming `attempt`; read_all throws EIO at an early end.
void write_all(int fd, const void* from, size_t size, const std::string& attempt);
void read_all(int fd, void* into, size_t size, const std::string& attempt);

}  // namespace memsync
