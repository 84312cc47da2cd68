#include "lib/os/userfault.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/os/mapping.h"
#include "lib/os/userfault_kernel.h"

namespace memsync {

namespace {

constexpr int kOpenFlags = O_CLOEXEC | O_NONBLOCK;

uint64_t address_of(const std::byte* at) {
  return reinterpret_cast<uint64_t>(at);
}
std::byte* pointer_to(uint64_t address) {
  return reinterpret_cast<std::byte*>(address);
}
uffdio_range range_of(std::span<std::byte> pages) {
  return {address_of(pages.data()), pages.size()};
}

FileDescriptor open_through_device() {
  const FileDescriptor device{::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC)};
  if (!device.is_open()) return {};
  return FileDescriptor{::ioctl(device.get(), kIoctlNewUserfault, kOpenFlags)};
}

FileDescriptor open_by_call(int extra_flags) {
  return FileDescriptor{static_cast<int>(::syscall(SYS_userfaultfd, kOpenFlags | extra_flags))};
}

// The device comes first: its faults include the kernel's own (read(2) into the region).
// (userfaultfd.rst, "Creating a userfaultfd")
FileDescriptor open_by(Userfault::Door door) {
  switch (door) {
    case Userfault::Door::device:
      return open_through_device();
    case Userfault::Door::call:
      return open_by_call(0);
    case Userfault::Door::user_mode:
      return open_by_call(UFFD_USER_MODE_ONLY);
    case Userfault::Door::any:
      break;
  }
  for (const auto each :
       {Userfault::Door::device, Userfault::Door::call, Userfault::Door::user_mode}) {
    FileDescriptor result = open_by(each);
    if (result.is_open() || each == Userfault::Door::user_mode) return result;
  }
  return {};
}

// The handshake; the features the kernel offers. A descriptor takes it once.
uint64_t shake_hands(const FileDescriptor& descriptor, uint64_t features) {
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = features;
  check(::ioctl(descriptor.get(), UFFDIO_API, &api), "the handshake UFFDIO_API");
  return api.features;
}

// What must be offered; poison, which has a substitute, is not among it.
uint64_t features_of(const Userfault::Wishes& wishes) {
  uint64_t features = UFFD_FEATURE_EVENT_REMAP;
  if (wishes.raises_sigbus) features |= UFFD_FEATURE_SIGBUS;
  if (wishes.tracking != Userfault::WriteTracking::none) features |= UFFD_FEATURE_PAGEFAULT_FLAG_WP;
  if (wishes.tracking == Userfault::WriteTracking::scan) features |= kFeatureAsyncProtection;
  if (wishes.protects_absent) features |= kFeatureProtectsAbsent;
  return features;
}

std::string missing_feature(uint64_t missing) {
  utsname system{};
  ::uname(&system);
  const std::string kernel = std::string("kernel ") + system.release;
  if ((missing & kFeatureAsyncProtection) != 0)
    return kernel +
           " can't track writes by scanning (UFFD_FEATURE_WP_ASYNC, 6.7 or newer); use 'faults'";
  return kernel + " lacks userfaultfd features (mask " + std::to_string(missing) +
         "); use a newer one";
}

std::string open_problem(int error) {
  utsname system{};
  ::uname(&system);
  const std::string kernel = std::string("kernel ") + system.release;
  if (error == ENOSYS)
    return kernel + " is built without userfaultfd; use one with CONFIG_USERFAULTFD=y";
  std::string allowed = "?";
  std::ifstream("/proc/sys/vm/unprivileged_userfaultfd") >> allowed;
  if (error == EPERM)
    return "userfaultfd is not permitted here (vm.unprivileged_userfaultfd=" + allowed +
           ", no CAP_SYS_PTRACE, /dev/userfaultfd " +
           (::access("/dev/userfaultfd", F_OK) == 0 ? "not accessible" : "absent") +
           "); run as root, set the sysctl to 1, or allow this user /dev/userfaultfd";
  return "opening userfaultfd on " + kernel + ": " + std::generic_category().message(error);
}

// How a request that ended early goes on. `result` is the kernel's count of bytes or a negative
// errno, as UFFDIO_COPY and its like report it.
enum class Progress : uint8_t { some, page_exists, unmapped, again, failed };
Progress progress_of(int64_t result, int error) {
  switch (error) {
    case EINTR:
      return Progress::again;
    case EAGAIN:  // the memory is being moved
      return result > 0 ? Progress::some : Progress::again;
    case EEXIST:
      return Progress::page_exists;
    case ENOENT:
      return Progress::unmapped;
    default:
      return Progress::failed;
  }
}

// Runs `attempt(done, size, result)` until all pages are handled. Pages that exist already are
// passed over and their waiters woken: somebody else's answer came first, an ordinary day. Where
// the application has unmapped some, or divided the mapping (mprotect(2); a request may span one
// alone), the others are tried one by one. `meanwhile`, if any, before nothing but another try.
template <typename Attempt>
void for_all_pages(const Userfault& userfault, std::span<std::byte> pages, const char* name,
                   Attempt attempt, const std::function<void()>& meanwhile = {}) {
  size_t most = pages.size();
  for (size_t done = 0; done < pages.size();) {
    const size_t size = std::min(most, pages.size() - done);
    int64_t result = 0;
    if (attempt(done, size, result) == 0) {
      done += size;
      most = std::min(2 * most, pages.size());
      continue;
    }
    switch (const int error = errno; progress_of(result, error)) {
      case Progress::some:
        done += static_cast<size_t>(result);
        break;
      case Progress::page_exists:
        userfault.wake(pages.subspan(done, page_bytes()));
        done += page_bytes();
        break;
      case Progress::unmapped:
        if (size == page_bytes()) done += page_bytes();
        most = page_bytes();
        break;
      case Progress::again:
        if (error == EAGAIN && meanwhile) meanwhile();
        break;
      case Progress::failed:
        throw_errno(std::string(name) + " of " + std::to_string(pages.size()) + " bytes", error);
    }
  }
}

// Whether the number is one of a userfaultfd, by the name the kernel gives it.
bool is_userfault(const FileDescriptor& descriptor) {
  std::array<char, 64> name{};
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor.get());
  return ::readlink(link.c_str(), name.data(), name.size() - 1) > 0 &&
         std::string_view(name.data()) == "anon_inode:[userfaultfd]";
}

}  // namespace

Userfault Userfault::open(const Wishes& wishes) {
  FileDescriptor probe = open_by(wishes.door);
  if (!probe.is_open()) throw_errno("opening userfaultfd");
  const uint64_t offered = shake_hands(probe, 0);
  uint64_t wanted = features_of(wishes);
  if ((wanted & ~offered) != 0) throw_errno(missing_feature(wanted & ~offered), ENOTSUP);
  const bool poison = wishes.poisoning == Poisoning::if_offered && (offered & kFeaturePoison) != 0;
  if (poison) wanted |= kFeaturePoison;
  FileDescriptor descriptor = open_by(wishes.door);
  if (!descriptor.is_open()) throw_errno("opening userfaultfd");
  shake_hands(descriptor, wanted);
  return {std::move(descriptor), poison};
}

Userfault Userfault::adopt(FileDescriptor descriptor, bool has_poison) {
  if (!is_userfault(descriptor))
    throw_errno("taking a descriptor that is no userfaultfd over", EINVAL);
  // Some open it without O_NONBLOCK, and then poll(2) answers POLLERR for ever (userfaultfd(2)).
  const int flags = check(::fcntl(descriptor.get(), F_GETFL), "reading a userfaultfd's flags");
  check(::fcntl(descriptor.get(), F_SETFL, flags | O_NONBLOCK), "setting a userfaultfd's flags");
  return {std::move(descriptor), has_poison};
}

std::vector<std::string> Userfault::problems(const Wishes& wishes) {
  const FileDescriptor probe = open_by(wishes.door);
  if (!probe.is_open()) return {open_problem(errno)};
  try {
    const uint64_t missing = features_of(wishes) & ~shake_hands(probe, 0);
    if (missing != 0) return {missing_feature(missing)};
  } catch (const std::system_error& problem) {
    return {std::string("userfaultfd refuses this program's version: ") + problem.what()};
  }
  return {};
}

void Userfault::register_pages(std::span<std::byte> pages, Watch watch) const {
  uffdio_register request{};
  request.range = range_of(pages);
  if (watch != Watch::writes) request.mode |= UFFDIO_REGISTER_MODE_MISSING;
  if (watch != Watch::missing) request.mode |= UFFDIO_REGISTER_MODE_WP;
  check(::ioctl(descriptor_.get(), UFFDIO_REGISTER, &request),
        "registering " + std::to_string(pages.size()) + " bytes with userfaultfd");
  if (watch != Watch::writes && (request.ioctls & (uint64_t{1} << _UFFDIO_COPY)) == 0)
    throw_errno("registering memory that userfaultfd can't copy to", ENOTSUP);
}

void Userfault::unregister(std::span<std::byte> pages) const {
  uffdio_range range = range_of(pages);
  check(::ioctl(descriptor_.get(), UFFDIO_UNREGISTER, &range),
        "unregistering " + std::to_string(pages.size()) + " bytes from userfaultfd");
}

void Userfault::place(std::byte* at, std::span<const std::byte> pages, Protection protection,
                      const std::function<void()>& meanwhile) const {
  const auto attempt = [&](size_t done, size_t size, int64_t& result) {
    uffdio_copy request{};
    request.dst = address_of(at + done);
    request.src = address_of(pages.data() + done);
    request.len = size;
    if (protection == Protection::on) request.mode = UFFDIO_COPY_MODE_WP;
    const int status = ::ioctl(descriptor_.get(), UFFDIO_COPY, &request);
    result = request.copy;
    return status;
  };
  for_all_pages(*this, {at, pages.size()}, "UFFDIO_COPY", attempt, meanwhile);
}

void Userfault::place_zeros(std::span<std::byte> pages,
                            const std::function<void()>& meanwhile) const {
  const auto attempt = [&](size_t done, size_t size, int64_t& result) {
    uffdio_zeropage request{};
    request.range = range_of(pages.subspan(done, size));
    const int status = ::ioctl(descriptor_.get(), UFFDIO_ZEROPAGE, &request);
    result = request.zeropage;
    return status;
  };
  for_all_pages(*this, pages, "UFFDIO_ZEROPAGE", attempt, meanwhile);
}

// false while the memory is being moved.
bool Userfault::set_protection(std::span<std::byte> pages, uint64_t mode) const {
  uffdio_writeprotect request{};
  request.range = range_of(pages);
  request.mode = mode;
  const int status = ::ioctl(descriptor_.get(), UFFDIO_WRITEPROTECT, &request);
  if (status < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (status < 0 && errno == ENOENT) return true;  // the application has unmapped it
  check(status, "UFFDIO_WRITEPROTECT of " + std::to_string(pages.size()) + " bytes");
  return true;
}

bool Userfault::try_protect(std::span<std::byte> pages) const {
  return set_protection(pages, UFFDIO_WRITEPROTECT_MODE_WP);
}

void Userfault::protect(std::span<std::byte> pages) const {
  while (!try_protect(pages)) {
  }
}

// The move waits for its event to be taken, perhaps by the very thread that is here.
void Userfault::lift_protection(std::span<std::byte> pages) const {
  if (!set_protection(pages, 0)) wake(pages);
}

void Userfault::poison(std::span<std::byte> pages, const std::function<void()>& meanwhile) const {
  if (!has_poison_) {
    map_over(pages);
    return;
  }
  const auto attempt = [&](size_t done, size_t size, int64_t& result) {
    PoisonRequest request{};
    request.range = range_of(pages.subspan(done, size));
    const int status = ::ioctl(descriptor_.get(), kIoctlPoison, &request);
    result = request.updated;
    return status;
  };
  for_all_pages(*this, pages, "UFFDIO_POISON", attempt, meanwhile);
}

// While an event is not taken, its cause (mremap(2)) sleeps and every request fails with EAGAIN.
void Userfault::make_unreadable(std::span<std::byte> pages) const {
  if (!has_poison_) {
    map_over(pages);
    return;
  }
  std::vector<std::span<std::byte>> left{pages};
  while (!left.empty()) {
    const auto next = left.back();
    left.pop_back();
    poison(next, [&] { take_moved(left); });
    wake(next);
  }
}

void Userfault::take_moved(std::vector<std::span<std::byte>>& moved) const {
  std::array<Event, 32> events;
  for (const Event& event : std::span(events).first(take_events(events)))
    if (event.kind == Event::Kind::moved) moved.emplace_back(event.moved_to, event.length);
}

// A page of a mapped file that lies past the file's end raises SIGBUS (mmap(2)). The offset is the
// address, so that neighbours become one mapping and their number stays small.
void Userfault::map_over(std::span<std::byte> pages) const {
  const FileDescriptor nothing = FileDescriptor::memory_file("memsync-lost", 0);
  const void* mapped =
      ::mmap(pages.data(), pages.size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
             nothing.get(), static_cast<off_t>(address_of(pages.data())));
  if (mapped == MAP_FAILED) throw_errno("making lost pages unreadable");
  wake(pages);
}

void Userfault::wake(std::span<std::byte> pages) const noexcept {
  uffdio_range range = range_of(pages);
  ::ioctl(descriptor_.get(), UFFDIO_WAKE, &range);
}

size_t Userfault::take_events(std::span<Event> events) const {
  std::array<uffd_msg, 32> messages;
  const size_t room = std::min(events.size(), messages.size());
  const ssize_t got = ::read(descriptor_.get(), messages.data(), room * sizeof(uffd_msg));
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  check(got, "reading page faults");
  size_t count = 0;
  for (size_t i = 0; i < static_cast<size_t>(got) / sizeof(uffd_msg); ++i) {
    const uffd_msg& message = messages[i];
    if (message.event == UFFD_EVENT_PAGEFAULT) {
      const bool write = (message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) != 0;
      events[count++] = {
          .kind = write ? Event::Kind::write : Event::Kind::missing,
          .address = pointer_to(message.arg.pagefault.address / page_bytes() * page_bytes())};
    } else if (message.event == UFFD_EVENT_REMAP) {
      events[count++] = {.kind = Event::Kind::moved,
                         .address = pointer_to(message.arg.remap.from),
                         .moved_to = pointer_to(message.arg.remap.to),
                         .length = message.arg.remap.len};
    } else if (message.event == UFFD_EVENT_FORK) {
      // Asked for by whoever opened it; reading the event has made a descriptor of the child's.
      const FileDescriptor childs{static_cast<int>(message.arg.fork.ufd)};
    }
  }
  return count;
}

std::vector<std::span<std::byte>> watched_parts(std::span<std::byte> pages) {
  std::ifstream maps("/proc/self/smaps");
  if (!maps) throw_errno("reading /proc/self/smaps");
  const auto first = reinterpret_cast<uintptr_t>(pages.data());
  const uintptr_t last = first + pages.size();
  std::vector<std::span<std::byte>> found;
  uintptr_t start = 0, end = 0;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t from = 0, to = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2) {
      start = std::max(from, first);
      end = std::min(to, last);
    } else if (start < end && line.starts_with("VmFlags:") &&
               (line.find(" um") != std::string::npos || line.find(" ui") != std::string::npos ||
                line.find(" uw") != std::string::npos)) {
      found.push_back(pages.subspan(start - first, end - start));
    }
  }
  return found;
}

}  // namespace memsync
