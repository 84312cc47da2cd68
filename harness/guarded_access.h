// Touching memory that may answer with SIGBUS, and living on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace memsync {

// Puts a handler for SIGBUS and SIGSEGV in place for the whole process; faults outside of a guarded
// call keep their default effect. Call once, early.
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
