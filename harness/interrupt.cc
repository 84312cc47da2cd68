#include "harness/interrupt.h"

#include <csignal>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/os/error.h"

namespace memsync {

InterruptWatch::InterruptWatch() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&signals, signal);
  memsync::check(::sigprocmask(SIG_BLOCK, &signals, nullptr), "blocking signals");
  signals_ = FileDescriptor{
      memsync::check(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd")};
}

bool InterruptWatch::take() {
  signalfd_siginfo signal{};
  return ::read(signals_.get(), &signal, sizeof signal) == sizeof signal;
}

void InterruptWatch::check() {
  pollfd ready{signals_.get(), POLLIN, 0};
  // The signal is left in the queue on purpose: every later look sees it too.
  if (came_ || ::poll(&ready, 1, 0) > 0) {
    came_ = true;
    throw Interrupted();
  }
}

}  // namespace memsync
