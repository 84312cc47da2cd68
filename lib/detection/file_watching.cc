#include "lib/detection/file_watching.h"

#include <array>
#include <ctime>
#include <sys/inotify.h>
#include <unistd.h>
#include <utility>

#include "lib/detection/all_chunks.h"
#include "lib/os/error.h"

namespace memsync {

namespace {

std::string link_to(int file) {
  return "/proc/self/fd/" + std::to_string(file);
}

bool is_before(const timespec& one, const timespec& other) {
  return std::pair(one.tv_sec, one.tv_nsec) < std::pair(other.tv_sec, other.tv_nsec);
}

bool is_equal(const timespec& one, const timespec& other) {
  return one.tv_sec == other.tv_sec && one.tv_nsec == other.tv_nsec;
}

FileDescriptor watch_modifications(int file) {
  FileDescriptor events{
      check(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC), "opening an inotify instance")};
  if (::inotify_add_watch(events.get(), link_to(file).c_str(), IN_MODIFY) < 0)
    throw_errno(errno == ENOSPC ? "watching a file (raise the sysctl fs.inotify.max_user_watches)"
                                : "watching a file");
  return events;
}

}  // namespace

MtimeDetector::MtimeDetector(const Watched& watched)
    : geometry_(watched.geometry), file_(FileDescriptor::open(link_to(watched.file), O_RDONLY)) {}

bool MtimeDetector::Stamps::operator==(const Stamps& other) const {
  return is_equal(modified, other.modified) && is_equal(changed, other.changed) &&
         size == other.size;
}

std::vector<ChunkIndex> MtimeDetector::take() {
  return has_changed() ? all_chunks(geometry_) : std::vector<ChunkIndex>{};
}

bool MtimeDetector::has_changed() {
  timespec tick{};  // what the kernel stamps with; read before the stamp
  ::clock_gettime(CLOCK_REALTIME_COARSE, &tick);
  struct stat file{};
  check(::fstat(file_.get(), &file), "looking at a file's times");
  const Stamps stamps{file.st_mtim, file.st_ctim, file.st_size};
  const bool changed = stamps != seen_ || may_share_stamp_;
  if (changed) wait_for_calls_under_way();
  seen_ = stamps;
  may_share_stamp_ = !is_before(file.st_ctim, tick);
  return changed;
}

// ext4 and tmpfs look for a hole with the inode locked, which a call that changes the file holds
// from before its stamp until after its bytes. A file position is moved, that of file_ alone.
void MtimeDetector::wait_for_calls_under_way() const {
  const off_t size = ::lseek(file_.get(), 0, SEEK_END);
  if (size > 0) ::lseek(file_.get(), size - 1, SEEK_HOLE);  // ENXIO: cut meanwhile
}

InotifyDetector::InotifyDetector(const Watched& watched)
    : geometry_(watched.geometry), events_(watch_modifications(watched.file)) {}

std::vector<ChunkIndex> InotifyDetector::take() {
  const bool changed = take_events();
  return std::exchange(is_first_, false) || changed ? all_chunks(geometry_)
                                                    : std::vector<ChunkIndex>{};
}

// Whatever the event, also that some were lost: something happened.
bool InotifyDetector::take_events() {
  alignas(inotify_event) std::array<char, 4096> events;
  bool any = false;
  for (;;) {
    const ssize_t got = ::read(events_.get(), events.data(), events.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return any;
    check(got, "reading inotify events");
    any = true;
  }
}

bool memory_files_raise_events() {
  static const bool kRaise = [] {
    const FileDescriptor file = FileDescriptor::memory_file("memsync-probe", 1);
    const FileDescriptor events = watch_modifications(file.get());
    write_all(file.get(), "x", 1, "probing inotify");
    std::array<char, sizeof(inotify_event)> event;
    return ::read(events.get(), event.data(), event.size()) > 0;
  }();
  return kRaise;
}

}  // namespace memsync
