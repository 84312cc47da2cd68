// Reading memory that may raise SIGBUS, without dying of it. For tests.
#pragma once

#include <csetjmp>
#include <csignal>
#include <cstddef>
#include <optional>

namespace memsync::userfaultfd {

// While one of these lives, touch() of a page that raises SIGBUS or SIGSEGV answers nullopt.
class SurviveBusErrors {
 public:
  SurviveBusErrors() {
    struct sigaction action{};
    action.sa_handler = &jump;
    ::sigaction(SIGBUS, &action, &before_bus_);
    ::sigaction(SIGSEGV, &action, &before_segv_);
  }
  SurviveBusErrors(const SurviveBusErrors&) = delete;
  SurviveBusErrors& operator=(const SurviveBusErrors&) = delete;
  ~SurviveBusErrors() {
    ::sigaction(SIGBUS, &before_bus_, nullptr);
    ::sigaction(SIGSEGV, &before_segv_, nullptr);
  }

  // The byte at `address`, or nullopt when touching it raised a signal. Any thread. Not seen by
  // TSan, which takes mapping lost pages away under a reader for a write of them.
  __attribute__((no_sanitize("thread"))) static std::optional<std::byte> touch(
      const volatile std::byte* address) {
    landing_set_ = 1;
    if (sigsetjmp(landing_, 1) != 0) return std::nullopt;  // with the signal mask
    const std::byte value = *address;
    landing_set_ = 0;
    return value;
  }

 private:
  static void jump(int signal) {
    if (landing_set_ == 0) {  // not in touch(): a fault of the program itself
      ::signal(signal, SIG_DFL);
      return;
    }
    landing_set_ = 0;
    siglongjmp(landing_, signal);
  }
  static inline thread_local sigjmp_buf landing_;
  static inline thread_local volatile sig_atomic_t landing_set_ = 0;
  struct sigaction before_bus_{};
  struct sigaction before_segv_{};
};

}  // namespace memsync::userfaultfd
