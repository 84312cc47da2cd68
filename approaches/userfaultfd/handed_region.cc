#include "approaches/userfaultfd/handed_region.h"

#include <array>
#include <cassert>
#include <csignal>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/os/mapping.h"
#include "lib/os/pagemap.h"

namespace memsync::userfaultfd {

namespace {

constexpr Nanoseconds kPartingLimit = std::chrono::seconds(5);

// The application's signals are none of the watching thread's business.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

Verdict receive_verdict(int socket, const FileDescriptor& ending, Deadline deadline) {
  std::array<std::byte, kVerdictBytes> bytes;
  std::vector<FileDescriptor> none;
  for (size_t got = 0; got < bytes.size();) {
    wait_readable(socket, ending, deadline);
    const auto more = receive_with_descriptors(socket, std::span(bytes).subspan(got), none);
    if (more == 0U) throw_errno("the handler hung up without an answer", ECONNRESET);
    got += more.value_or(0);
  }
  return decode_verdict(bytes);
}

}  // namespace

HandedRegion::HandedRegion(std::span<std::byte> bytes, uint64_t region_offset,
                           const Handler& handler, Deadline deadline,
                           Userfault::Poisoning poisoning)
    : bytes_(bytes),
      pages_(bytes.data(), round_up_to_page(bytes.size())),
      dialect_(handler.dialect),
      connection_(connect_to_path(handler.socket)),
      handler_(peer_of(connection_.get())),
      userfault_(Userfault::open({.poisoning = poisoning})) {
  assert(reinterpret_cast<uintptr_t>(bytes.data()) % page_bytes() == 0);
  if (dialect_ == Dialect::userfaultfd_go && region_offset != 0)
    throw_errno("userfaultfd-go's dialect hands a region over from its start alone", ENOTSUP);
  // A forked child's copy is not registered and would read zeros: it gets no copy at all.
  check(::madvise(pages_.data(), pages_.size(), MADV_DONTFORK), "keeping the region from children");
  userfault_.register_pages(pages_);
  try {
    hand_over(region_offset, deadline);
  } catch (...) {
    // Closing would not do it: the handler may have a descriptor by now.
    userfault_.unregister(pages_);
    ::madvise(pages_.data(), pages_.size(), MADV_DOFORK);
    throw;
  }
  const SignalsBlocked blocked;
  watcher_ = std::thread([this] { watch(); });
}

HandedRegion::~HandedRegion() {
  stop_watching();
  if (let_go_) return;
  make_unreadable();
  part();
}

void HandedRegion::hand_over(uint64_t region_offset, Deadline deadline) {
  const Offer offer{.start = reinterpret_cast<uint64_t>(pages_.data()),
                    .length = bytes_.size(),
                    .region_offset = region_offset,
                    .page_bytes = static_cast<uint32_t>(page_bytes()),
                    .pid = static_cast<uint32_t>(::getpid()),
                    .has_poison = userfault_.has_poison()};
  send_offer(connection_.get(), offer, dialect_, userfault_.descriptor());
  if (dialect_ != Dialect::memsync) return;
  const Verdict verdict = receive_verdict(connection_.get(), ending_, deadline);
  if (verdict != Verdict::served)
    throw_errno("the handler refuses: " + verdict_text(verdict), EPERM);
}

bool HandedRegion::let_go() noexcept {
  let_go_ = true;
  stop_watching();
  return part();
}

// We say that we are done by ending our half of the connection; the handler ends the other half
// when it has closed everything.
bool HandedRegion::part() noexcept {
  if (dialect_ != Dialect::memsync) return false;
  ::shutdown(connection_.get(), SHUT_WR);
  drain_event(ending_);
  try {
    const Deadline limit = after(kPartingLimit);
    std::array<std::byte, 64> last_words;
    std::vector<FileDescriptor> none;
    while (wait_readable(connection_.get(), ending_, limit))
      if (receive_with_descriptors(connection_.get(), last_words, none) == 0U) return true;
  } catch (const std::system_error& problem) {
    return problem.code() == std::errc::connection_reset;
  }
  return false;
}

void HandedRegion::stop_watching() noexcept {
  signal_event(ending_);
  if (watcher_.joinable()) watcher_.join();
}

// Whatever comes over the connection now is its end: the handler has nothing more to say.
void HandedRegion::watch() noexcept {
  const bool connection_counts = dialect_ == Dialect::memsync;
  std::array<pollfd, 3> waits{{{ending_.get(), POLLIN, 0},
                               {handler_.process.get(), POLLIN, 0},
                               {connection_counts ? connection_.get() : -1, POLLIN, 0}}};
  while (::poll(waits.data(), waits.size(), -1) < 0 && errno == EINTR) {
  }
  if (waits[0].revents != 0) return;
  make_unreadable();
  take_moves();
}

// Now that the handler is gone nobody else takes them, and mremap(2) sleeps until its own is taken.
void HandedRegion::take_moves() noexcept {
  try {
    std::array<Userfault::Event, 8> events;
    while (wait_readable(userfault_.descriptor().get(), ending_, Deadline::max()))
      for (const auto& event : std::span(events).first(userfault_.take_events(events)))
        if (event.kind == Userfault::Event::Kind::moved)
          userfault_.make_unreadable({event.moved_to, event.length});
  } catch (const std::system_error&) {  // a broken descriptor: there is nothing left to take
  }
}

void HandedRegion::make_unreadable() noexcept {
  try {
    take_missing_away();
  } catch (const std::exception&) {
    ::mprotect(pages_.data(), pages_.size(), PROT_NONE);
    userfault_.wake(pages_);
  }
}

// Where the kernel can poison, what has come stays readable, and what the application has unmapped
// meanwhile, and may have mapped anew, is not touched. Pages that are there or poisoned already are
// passed over by the run: the kernel would refuse them one by one.
void HandedRegion::take_missing_away() const {
  userfault_.make_unreadable(pages_.first(page_bytes()));  // takes the event of a move, if any
  FileDescriptor pagemap{::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)};
  if (userfault_.has_poison() && pagemap.is_open())
    Pagemap(std::move(pagemap)).for_each_absent(pages_, [this](auto run) {
      userfault_.make_unreadable(run);
    });
  else
    userfault_.make_unreadable(pages_);
}

}  // namespace memsync::userfaultfd
