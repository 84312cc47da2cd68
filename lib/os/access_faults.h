// Accesses to memory that end in a signal: repaired by the memory's owner, or survived.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace memsync {

// Called in the thread that touched the memory, inside the signal handler. What it may do is what
// the interrupted code could have done by a call: the signal is raised by that code's own load or
// store, so it holds no lock of this program's unless it touches the region with one held.
class FaultRepair {
 public:
  virtual ~FaultRepair() = default;
  // true: try the access again. false: the next handler, a guarded() call, or the default effect.
  virtual bool repair(std::byte* address) noexcept = 0;
};

// While it lives, SIGBUS and SIGSEGV of accesses to `memory` go to `repair` first. The destructor
// returns once no thread is inside repair() any more. At most 64 at a time; throws
// std::system_error (ENOSPC). Threads: any.
class RepairedRange {
 public:
  RepairedRange(std::span<std::byte> memory, FaultRepair& repair);
  RepairedRange(const RepairedRange&) = delete;
  RepairedRange& operator=(const RepairedRange&) = delete;
  ~RepairedRange();

 private:
  size_t slot_;
};

// Puts the handler for both signals in place for the whole process; a fault that is neither
// repaired nor guarded keeps the effect it had before. Any number of calls; RepairedRange makes
// one.
void install_fault_guard();

// Why a guarded access failed: the signal's number and the address; 0 when it did not.
struct AccessFault {
  int signal = 0;
  uintptr_t address = 0;
  explicit operator bool() const noexcept { return signal != 0; }
};

// Calls `work(context)`; when the kernel raises SIGBUS or SIGSEGV in this thread meanwhile, returns
// where instead of dying. `work` must own nothing that a jump over it would lose.
AccessFault guarded(void (*work)(void* context), void* context) noexcept;

// The same for a callable by reference.
template <typename Work>
AccessFault guarded(Work& work) noexcept {
  return guarded([](void* context) { (*static_cast<Work*>(context))(); }, &work);
}

}  // namespace memsync
