#include "harness/guarded_access.h"

#include <csetjmp>
#include <csignal>
#include <mutex>

namespace memsync {

namespace {

struct Guard {
  sigjmp_buf back;
  volatile sig_atomic_t armed = 0;
  AccessFault fault;
};

thread_local Guard guard;

void on_fault(int signal, siginfo_t* info, void*) {
  if (guard.armed != 0) {
    guard.armed = 0;
    guard.fault = {signal, reinterpret_cast<uintptr_t>(info->si_addr)};
    ::siglongjmp(guard.back, 1);
  }
  // Not ours: the default effect comes when the faulting instruction runs again.
  ::signal(signal, SIG_DFL);
}

}  // namespace

void install_fault_guard() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, &action, nullptr);
    ::sigaction(SIGSEGV, &action, nullptr);
  });
}

AccessFault guarded(void (*work)(void* context), void* context) noexcept {
  guard.fault = {};
  // No signal mask is saved: SA_NODEFER leaves it alone, which makes the guard cost nanoseconds.
  if (sigsetjmp(guard.back, 0) == 0) {
    guard.armed = 1;
    work(context);
  }
  guard.armed = 0;
  return guard.fault;
}

}  // namespace memsync
