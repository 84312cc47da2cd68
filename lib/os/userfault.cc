#include "lib/os/userfault.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <string_view>
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

// The device asks for no privilege but its file mode, and its faults include the kernel's own
// (read(2) into the region), so it comes first. (userfaultfd.rst, "Creating a userfaultfd")
FileDescriptor open_any() {
  FileDescriptor result = open_through_device();
  if (!result.is_open()) result = open_by_call(0);
  if (!result.is_open()) result = open_by_call(UFFD_USER_MODE_ONLY);
  return result;
}

// The handshake; the features the kernel offers. A descriptor takes it once.
uint64_t shake_hands(const FileDescriptor& descriptor, uint64_t features) {
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = features;
  check(::ioctl(descriptor.get(), UFFDIO_API, &api), "the handshake UFFDIO_API");
  return api.features;
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

// What to do after a request that ended early. `result` is the kernel's count or negative errno, as
// UFFDIO_COPY and UFFDIO_POISON report it.
enum class Progress : uint8_t { some, page_exists, again, not_registered, failed };
Progress progress_of(int64_t result, int error) {
  if (error == EINTR) return Progress::again;
  if (error == EAGAIN) return result > 0 ? Progress::some : Progress::again;
  if (error == EEXIST) return Progress::page_exists;
  return error == ENOENT ? Progress::not_registered : Progress::failed;
}

// Runs `attempt(done, length, result)` until `size` bytes are handled. Pages that exist already are
// skipped and their waiters woken: somebody else's answer came first, an ordinary day.
template <typename Attempt>
void for_all_pages(const Userfault& userfault, std::span<std::byte> pages, const char* name,
                   Userfault::Unregistered unregistered, Attempt attempt) {
  const size_t page = page_bytes();
  size_t step = pages.size();
  for (size_t done = 0; done < pages.size();) {
    const size_t length = std::min(step, pages.size() - done);
    int64_t result = 0;
    if (attempt(done, length, result) == 0) {
      done += length;
      continue;
    }
    const int error = errno;
    const Progress progress = progress_of(result, error);
    if (progress == Progress::some) {
      done += static_cast<size_t>(result);
    } else if (progress == Progress::page_exists) {
      userfault.wake(pages.subspan(done, page));
      done += page;
    } else if (progress == Progress::not_registered && length > page) {
      step = page;  // mprotect(2) or munmap(2) has divided the mapping: one request, one mapping
    } else if (progress == Progress::not_registered &&
               unregistered == Userfault::Unregistered::is_skipped) {
      done += page;
    } else if (progress != Progress::again) {  // again: the process's memory map is changing now
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

Userfault Userfault::open(Poisoning poisoning) {
  FileDescriptor probe = open_any();
  if (!probe.is_open()) throw_errno("opening userfaultfd");
  const bool poison =
      poisoning == Poisoning::if_offered && (shake_hands(probe, 0) & kFeaturePoison) != 0;
  FileDescriptor descriptor = open_any();
  if (!descriptor.is_open()) throw_errno("opening userfaultfd");
  shake_hands(descriptor, poison ? kFeaturePoison : 0);
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

std::vector<std::string> Userfault::problems() {
  const FileDescriptor probe = open_any();
  if (!probe.is_open()) return {open_problem(errno)};
  try {
    shake_hands(probe, 0);
  } catch (const std::system_error& problem) {
    return {std::string("userfaultfd refuses this program's version: ") + problem.what()};
  }
  return {};
}

void Userfault::register_missing(std::span<std::byte> pages) const {
  uffdio_register request{};
  request.range = range_of(pages);
  request.mode = UFFDIO_REGISTER_MODE_MISSING;
  check(::ioctl(descriptor_.get(), UFFDIO_REGISTER, &request),
        "registering " + std::to_string(pages.size()) + " bytes with userfaultfd");
  if ((request.ioctls & (uint64_t{1} << _UFFDIO_COPY)) == 0)
    throw_errno("registering memory that userfaultfd can't copy to", ENOTSUP);
}

void Userfault::unregister(std::span<std::byte> pages) const {
  uffdio_range range = range_of(pages);
  check(::ioctl(descriptor_.get(), UFFDIO_UNREGISTER, &range),
        "unregistering " + std::to_string(pages.size()) + " bytes from userfaultfd");
}

void Userfault::place(std::byte* at, std::span<const std::byte> pages,
                      Unregistered unregistered) const {
  for_all_pages(*this, {at, pages.size()}, "UFFDIO_COPY", unregistered,
                [&](size_t done, size_t length, int64_t& result) {
                  uffdio_copy request{};
                  request.dst = address_of(at + done);
                  request.src = address_of(pages.data() + done);
                  request.len = length;
                  const int status = ::ioctl(descriptor_.get(), UFFDIO_COPY, &request);
                  result = request.copy;
                  return status;
                });
}

void Userfault::poison(std::span<std::byte> pages, Unregistered unregistered) const {
  if (!has_poison_) {
    make_unreadable(pages);
    return;
  }
  for_all_pages(*this, pages, "UFFDIO_POISON", unregistered,
                [&](size_t done, size_t length, int64_t& result) {
                  PoisonRequest request{};
                  request.range = range_of(pages.subspan(done, length));
                  const int status = ::ioctl(descriptor_.get(), kIoctlPoison, &request);
                  result = request.updated;
                  return status;
                });
}

void Userfault::make_unreadable(std::span<std::byte> pages) const {
  // A page of a mapped file that lies past the file's end raises SIGBUS (mmap(2)). The offset is
  // the address, so that neighbours become one mapping and their number stays small.
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

size_t Userfault::take_faults(std::span<uint64_t> addresses) const {
  std::array<uffd_msg, 32> messages;
  const size_t room = std::min(addresses.size(), messages.size());
  const ssize_t got = ::read(descriptor_.get(), messages.data(), room * sizeof(uffd_msg));
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  check(got, "reading page faults");
  size_t count = 0;
  for (const uffd_msg& message :
       std::span(messages).first(static_cast<size_t>(got) / sizeof(uffd_msg))) {
    if (message.event == UFFD_EVENT_PAGEFAULT)
      addresses[count++] = message.arg.pagefault.address / page_bytes() * page_bytes();
    // Asked for by whoever opened the descriptor; reading the event has made one of the child's.
    if (message.event == UFFD_EVENT_FORK)
      const FileDescriptor childs{static_cast<int>(message.arg.fork.ufd)};
  }
  return count;
}

bool is_populated(const std::byte* address) {
  constexpr uint64_t kPresentOrSwapped = uint64_t{3} << 62;
  const FileDescriptor pagemap{::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)};
  uint64_t entry = 0;
  const auto at = static_cast<off_t>(address_of(address) / page_bytes() * sizeof(entry));
  return pagemap.is_open() && ::pread(pagemap.get(), &entry, sizeof(entry), at) == sizeof(entry) &&
         (entry & kPresentOrSwapped) != 0;
}

}  // namespace memsync
