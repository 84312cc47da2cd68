// The application's end of a hand-off: memory of this process whose faults another one answers.
#pragma once

#include <span>
#include <string>
#include <thread>

#include "approaches/userfaultfd/handoff.h"
#include "lib/os/unix_socket.h"
#include "lib/os/userfault.h"

namespace memsync::userfaultfd {

// From construction on, the first touch of each page waits for the handler. When the handler goes,
// in whichever way, missing pages raise SIGBUS instead: nobody sleeps for ever, nobody reads zeros.
// (In userfaultfd-go's dialect only the handler's process is watched; it says nothing else.)
//
// Threads: one of its own watches; the rest is for the owner.
class HandedRegion {
 public:
  struct Handler {
    std::string socket;  // path
    Dialect dialect = Dialect::memsync;
  };
  // bytes: private anonymous memory, page-aligned, never touched before; it outlives this unless
  // let_go() is called. region_offset: where in the handler's region it begins; userfaultfd-go's
  // dialect can only say 0. Throws std::system_error, EPERM with the handler's reason when it
  // refuses, ETIMEDOUT when it says nothing until `deadline`; the memory is plain again then.
  HandedRegion(std::span<std::byte> bytes, uint64_t region_offset, const Handler& handler,
               Deadline deadline,
               Userfault::Poisoning poisoning = Userfault::Poisoning::if_offered);
  // What has not come raises SIGBUS; then as let_go().
  ~HandedRegion();
  HandedRegion(const HandedRegion&) = delete;
  HandedRegion& operator=(const HandedRegion&) = delete;

  // The memory is about to go: from here on nothing is done to it. Waits (5 s at most) until the
  // handler has closed its descriptor, and says whether it has: the kernel lets a handler place
  // bytes wherever *some* userfaultfd is registered, so until then the addresses must not become
  // another region. userfaultfd-go's dialect can't tell: false.
  bool let_go() noexcept;
  std::span<std::byte> bytes() const noexcept { return bytes_; }

 private:
  void hand_over(uint64_t region_offset, Deadline deadline);
  void watch() noexcept;
  void take_moves() noexcept;
  void stop_watching() noexcept;
  bool part() noexcept;
  void make_unreadable() noexcept;
  void take_missing_away() const;

  const std::span<std::byte> bytes_;
  const std::span<std::byte> pages_;  // bytes_, rounded up
  const Dialect dialect_;
  const FileDescriptor connection_;
  const Peer handler_;
  const FileDescriptor ending_ = FileDescriptor::event();
  const Userfault userfault_;
  bool let_go_ = false;
  std::thread watcher_;  // not a jthread: a forked child has no such thread, and must not join it
};

}  // namespace memsync::userfaultfd
