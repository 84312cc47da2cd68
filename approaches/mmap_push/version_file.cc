#include "approaches/mmap_push/version_file.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "lib/os/error.h"

namespace memsync::mmap_push {

namespace {

constexpr uint64_t kCopyPiece = 1 << 20;

struct stat status_of(const FileDescriptor& file, const std::string& attempt) {
  struct stat status{};
  check(::fstat(file.get(), &status), attempt);
  return status;
}

// Whether somebody else has the file open or mapped; as long as it lives, who opens it waits. A
// write lease is given only to the one who has it open. Somebody may also have kept the file by a
// name of its own. Where it is another user's, nobody can tell. Source: fcntl(2), "Leases".
class WriteLease {
 public:
  explicit WriteLease(const FileDescriptor& file) : file_(file) {
    struct stat status{};
    if (::fstat(file.get(), &status) == 0 && status.st_nlink > 1) return;
    // Who opens it raises this signal here, whose default is to be ignored; SIGIO's is to die.
    ::fcntl(file.get(), F_SETSIG, SIGURG);
    is_held_ = ::fcntl(file.get(), F_SETLEASE, F_WRLCK) == 0;
    has_readers_ = !is_held_ && (errno == EAGAIN || errno == EACCES);
  }
  WriteLease(const WriteLease&) = delete;
  WriteLease& operator=(const WriteLease&) = delete;
  ~WriteLease() {
    if (is_held_) ::fcntl(file_.get(), F_SETLEASE, F_UNLCK);
  }
  bool has_readers() const noexcept { return has_readers_; }

 private:
  const FileDescriptor& file_;
  bool is_held_ = false;
  bool has_readers_ = true;
};

// The first byte from `offset` on that may be no zero. Source: lseek(2), SEEK_DATA.
uint64_t next_data(const FileDescriptor& file, uint64_t offset) {
  const off_t found = ::lseek(file.get(), static_cast<off_t>(offset), SEEK_DATA);
  if (found < 0) return errno == ENXIO ? UINT64_MAX : offset;
  return static_cast<uint64_t>(found);
}

bool is_same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

}  // namespace

VersionFile::VersionFile(FileDescriptor folder, std::string name, Publish publish, Durable durable)
    : folder_(std::move(folder)),
      name_(std::move(name)),
      spare_name_(std::string(kSparePrefix) + name_),
      publish_(publish),
      durable_(durable) {
  if (publish_ == Publish::in_place) {
    spare_ = open_file(name_, O_CREAT);
  } else {
    published_ = open_file(name_, 0);
    spare_ = open_file(spare_name_, 0);
    if (spare_.is_open() && !WriteLease(spare_).has_readers()) {
      find_differences();
    } else {
      start_over();
    }
  }
  size_ = static_cast<uint64_t>(status_of(spare_, what("asking the size of")).st_size);
}

// What a round that never ended left, or the last one that did: as good a beginning as any.
void VersionFile::find_differences() {
  const auto size = static_cast<uint64_t>(status_of(spare_, what("asking the size of")).st_size);
  if (!published_.is_open()) return note(0, size, Fill::mixed);
  const auto theirs_size =
      static_cast<uint64_t>(status_of(published_, what("asking the size of")).st_size);
  is_changed_ = size != theirs_size;
  std::vector<std::byte> ours(std::min(size, kCopyPiece)), theirs(ours.size());
  for (uint64_t offset = 0; offset < size; offset += kCopyPiece) {
    const size_t length = std::min(kCopyPiece, size - offset);
    if (is_hole(offset, length) && offset + length <= theirs_size &&
        next_data(published_, offset) >= offset + length)
      continue;
    read(std::span(ours).first(length), offset);
    const ssize_t got =
        check(::pread(published_.get(), theirs.data(), length, static_cast<off_t>(offset)),
              what("reading"));
    if (static_cast<size_t>(got) < length || std::memcmp(ours.data(), theirs.data(), length) != 0)
      note(offset, length, Fill::mixed);
  }
}

void VersionFile::start_over() {
  if (publish_ == Publish::in_place) {  // whatever has become of it
    spare_ = open_file(name_, O_CREAT);
    size_ = static_cast<uint64_t>(status_of(spare_, what("asking the size of")).st_size);
    is_changed_ = false;
    return;
  }
  const FileDescriptor before = std::exchange(published_, open_file(name_, 0));
  const bool is_same = before.is_open() && published_.is_open() &&
                       is_same_file(status_of(before, what("looking at")),
                                    status_of(published_, what("looking at")));
  if (!is_same) published_keepers_.reset();
  make_spare();
  size_ = is_behind_ ? behind_[0].range.length : 0;
  catch_up(Patience::none);
  making_.clear();
  is_changed_ = false;
}

std::string VersionFile::what(const char* attempt) const {
  return std::string(attempt) + " the received file " + name_;
}

FileDescriptor VersionFile::open_file(const std::string& name, int flags) const {
  const int number = ::openat(folder_.get(), name.c_str(),
                              O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0666);
  if (number < 0 && errno == ENOENT && (flags & O_CREAT) == 0) return FileDescriptor{};
  FileDescriptor file{check(number, what("opening"))};
  if (!S_ISREG(status_of(file, what("looking at")).st_mode))
    throw_errno(what("opening") + ", which is no plain file", EINVAL);
  return file;
}

// An empty file, to be made equal to what readers see.
void VersionFile::make_spare() {
  if (::unlinkat(folder_.get(), spare_name_.c_str(), 0) != 0 && errno != ENOENT)
    throw_errno(what("making room beside"));
  spare_ = open_file(spare_name_, O_CREAT | O_EXCL);
  spare_keepers_.reset();
  behind_.clear();
  is_behind_ = published_.is_open();
  if (!is_behind_) return;
  const struct stat status = status_of(published_, what("asking the size of"));
  check(::fchmod(spare_.get(), status.st_mode & 0777), what("copying the mode of"));
  behind_ = {{{0, static_cast<uint64_t>(status.st_size)}, Fill::mixed}};
}

// What readers see of this range; holes stay holes. Finding them takes time in proportion to the
// length of the bytes between them, so it is not for many short ranges.
void VersionFile::copy_range(uint64_t offset, uint64_t length) {
  const uint64_t end = offset + length;
  while (offset < end) {
    const off_t found = ::lseek(published_.get(), static_cast<off_t>(offset), SEEK_DATA);
    if (found < 0 && errno != ENXIO) throw_errno(what("copying"));  // ENXIO: a hole up to its end
    const uint64_t data = found < 0 ? end : std::min(static_cast<uint64_t>(found), end);
    if (data > offset) punch(offset, data - offset);
    if (data == end) return;
    const off_t hole = ::lseek(published_.get(), static_cast<off_t>(data), SEEK_HOLE);
    offset = hole < 0 ? end : std::min(static_cast<uint64_t>(hole), end);
    copy_from_published(data, offset - data);
  }
}

void VersionFile::copy_from_published(uint64_t offset, uint64_t length) {
  static thread_local const auto piece = std::make_unique<std::byte[]>(kCopyPiece);
  while (length > 0) {
    const ssize_t got = ::pread(published_.get(), piece.get(), std::min(length, kCopyPiece),
                                static_cast<off_t>(offset));
    check(got, what("copying"));
    if (got == 0) return;  // the readers' version ends here
    const auto copied = static_cast<uint64_t>(got);
    put({piece.get(), copied}, offset);
    offset += copied;
    length -= copied;
  }
}

void VersionFile::read(std::span<std::byte> into, uint64_t offset) const {
  while (!into.empty()) {
    const ssize_t got = ::pread(spare_.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    check(got, what("reading"));
    if (got == 0) throw_errno(what("reading") + " beyond its end", EIO);
    into = into.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
}

bool VersionFile::is_hole(uint64_t offset, uint64_t length) const {
  return next_data(spare_, offset) >= offset + length;
}

void VersionFile::resize(uint64_t size_bytes) {
  if (size_bytes == size_) return;
  check(::ftruncate(spare_.get(), static_cast<off_t>(size_bytes)), what("resizing"));
  // What was cut off and has grown again is a hole here, and may be old bytes in the other version.
  const uint64_t shorter = std::min(size_, size_bytes);
  note(shorter, std::max(size_, size_bytes) - shorter, Fill::hole);
  size_ = size_bytes;
}

void VersionFile::write(std::span<const std::byte> from, uint64_t offset) {
  note(offset, from.size(), Fill::bytes);
  put(from, offset);
}

void VersionFile::put(std::span<const std::byte> from, uint64_t offset) {
  while (!from.empty()) {
    const ssize_t written =
        ::pwrite(spare_.get(), from.data(), from.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    check(written, what("writing"));
    from = from.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
}

void VersionFile::write_zeros(uint64_t offset, uint64_t length) {
  note(offset, length, Fill::hole);
  punch(offset, length);
}

void VersionFile::punch(uint64_t offset, uint64_t length) {
  if (length == 0 || ::fallocate(spare_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                 static_cast<off_t>(offset), static_cast<off_t>(length)) == 0)
    return;
  if (errno != EOPNOTSUPP) throw_errno(what("punching a hole into"));
  const std::vector<std::byte> zeros(std::min(length, kCopyPiece));
  for (uint64_t done = 0; done < length; done += zeros.size())
    put(std::span(zeros).first(std::min<uint64_t>(zeros.size(), length - done)), offset + done);
}

void VersionFile::note(uint64_t offset, uint64_t length, Fill fill) {
  is_changed_ = is_changed_ || length > 0;
  if (publish_ == Publish::in_place || length == 0) return;
  if (!making_.empty() && making_.back().fill == fill &&
      making_.back().range.offset + making_.back().range.length == offset)
    making_.back().range.length += length;
  else
    making_.push_back({{offset, length}, fill});
  if (making_.size() >= join_at_) join_changes();
}

// However many rounds nobody publishes: no more changes than there are ranges.
void VersionFile::join_changes() {
  std::ranges::sort(making_, {}, [](const Change& change) { return change.range.offset; });
  size_t last = 0;
  for (size_t i = 1; i < making_.size(); ++i) {
    auto& [range, fill] = making_[last];
    const Change& next = making_[i];
    const uint64_t end = range.offset + range.length;
    if (next.range.offset > end || (next.range.offset == end && next.fill != fill)) {
      making_[++last] = next;
      continue;
    }
    range.length = std::max(end, next.range.offset + next.range.length) - range.offset;
    if (next.fill != fill) fill = Fill::mixed;
  }
  making_.resize(last + 1);
  join_at_ = std::max(kJoinAtLeast, 2 * making_.size());
}

bool VersionFile::is_published() const {
  struct stat now{};
  return published().is_open() &&
         ::fstatat(folder_.get(), name_.c_str(), &now, AT_SYMLINK_NOFOLLOW) == 0 &&
         is_same_file(now, status_of(published(), what("looking at")));
}

bool VersionFile::publish() {
  const bool is_there = is_published();
  if (!is_changed_ && is_there) return false;
  if (publish_ == Publish::in_place && !is_there)
    throw_errno(what("publishing") + ", which somebody has removed or replaced", ENOENT);
  if (durable_ == Durable::on) check(::fdatasync(spare_.get()), what("making durable"));
  if (publish_ == Publish::in_place) return std::exchange(is_changed_, false);
  const auto rename = [&](unsigned flags) {
    return ::renameat2(folder_.get(), spare_name_.c_str(), folder_.get(), name_.c_str(), flags);
  };
  // The names would change places with a folder, too, which nobody here may throw away.
  struct stat there{};
  if (::fstatat(folder_.get(), name_.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
      S_ISDIR(there.st_mode))
    throw_errno(what("publishing"), EISDIR);
  bool exchanged = published_.is_open() && rename(RENAME_EXCHANGE) == 0;
  // The first version, or somebody has removed the one that was there.
  if (!exchanged) check(rename(0), what("publishing"));
  if (exchanged) {
    // Somebody may have put another file where ours was; it is replaced like any other version.
    struct stat now{};
    exchanged = ::fstatat(folder_.get(), spare_name_.c_str(), &now, AT_SYMLINK_NOFOLLOW) == 0 &&
                is_same_file(now, status_of(published_, what("looking at")));
  }
  std::swap(spare_, published_);
  std::swap(spare_keepers_, published_keepers_);
  if (!exchanged) spare_ = FileDescriptor{};
  behind_.insert(behind_.end(), making_.begin(), making_.end());
  making_.clear();
  is_changed_ = false;
  join_at_ = kJoinAtLeast;
  is_behind_ = true;
  if (durable_ == Durable::on) check(::fsync(folder_.get()), what("making durable the name of"));
  return true;
}

std::shared_ptr<const FileDescriptor> VersionFile::keep_published() {
  auto kept = published_keepers_.lock();
  if (!kept) {
    kept = std::make_shared<const FileDescriptor>(published_.duplicate());
    published_keepers_ = kept;
  }
  return kept;
}

void VersionFile::catch_up(Patience patience) {
  if (!is_behind_) return;
  std::optional<WriteLease> lease;  // until it is equal: a reader who is late gets all of it
  if (spare_.is_open()) lease.emplace(spare_);
  if (lease && (lease->has_readers() || !spare_keepers_.expired())) {
    if (patience == Patience::some) return;
    lease.reset();
    spare_ = FileDescriptor{};
  }
  if (!spare_.is_open()) make_spare();
  check(::ftruncate(spare_.get(), static_cast<off_t>(size_)), what("resizing"));
  for (const auto& [range, fill] : behind_) {
    if (range.offset >= size_) continue;
    const uint64_t length = std::min(range.length, size_ - range.offset);
    if (fill == Fill::bytes) copy_from_published(range.offset, length);
    if (fill == Fill::hole) punch(range.offset, length);
    if (fill == Fill::mixed) copy_range(range.offset, length);
  }
  behind_.clear();
  is_behind_ = false;
}

}  // namespace memsync::mmap_push
