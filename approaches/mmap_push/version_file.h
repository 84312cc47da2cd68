// A received file: the version that its readers see, and the one that is being made beside it.
//
//   round k      writes go to the spare ──── publish() exchanges the two names ────▶ readers see it
//   afterwards   catch_up() writes round k's changes to what was the readers' version until then,
//                which is the spare of round k + 1
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/os/file_descriptor.h"
#include "lib/region/geometry.h"

namespace memsync::mmap_push {

inline constexpr std::string_view kSparePrefix = ".memsync-spare.";
inline constexpr size_t kPartMax = 255 - kSparePrefix.size();  // bytes of a file's name

// versions: a reader sees a whole round or nothing of it. in_place: one file, which holds half a
// round while it comes.
enum class Publish : uint8_t { versions, in_place };
// on: a published version is on the disk before its readers see it, and its name after.
enum class Durable : uint8_t { off, on };

// Bytes go by pwrite(2), so that a full disk is an error and no signal, and what is zero stays a
// hole. Errors are std::system_error naming the file; readers then keep the version they have.
// Threads: one.
class VersionFile {
 public:
  // The file `name` (no slash) in `folder`, made when it is not there. A symbolic link or anything
  // else than a plain file is refused.
  VersionFile(FileDescriptor folder, std::string name, Publish publish, Durable durable);

  // Of the version in the making.
  uint64_t size_bytes() const noexcept { return size_; }
  void read(std::span<std::byte> into, uint64_t offset) const;
  // Whether it is zeros that no disk holds; false where the file system can't tell.
  bool is_hole(uint64_t offset, uint64_t length) const;
  // What is beyond the end afterwards is gone, what is new is zeros.
  void resize(uint64_t size_bytes);
  void write(std::span<const std::byte> from, uint64_t offset);
  void write_zeros(uint64_t offset, uint64_t length);

  // Readers see the version in the making, by one rename (RENAME_EXCHANGE, renameat2(2)). One that
  // is what they see already is left: false.
  bool publish();
  // Makes the spare equal to what readers see. A spare that somebody still reads (who opened or
  // mapped it while it was the readers' version) is left to them and replaced by a new copy of the
  // whole file; `patience` leaves that for later. keep_published() counts as reading it. So is one
  // with a second name (a hard link). Where the file system has no leases (fcntl(2)) nobody can
  // tell, and the spare is taken for unread.
  enum class Patience : uint8_t { none, some };
  void catch_up(Patience patience);

  // The version in the making becomes a copy of what readers see, whatever that has become.
  void start_over();

  // What readers see, open for reading and writing; empty before the first publish().
  const FileDescriptor& published() const noexcept {
    return publish_ == Publish::in_place ? spare_ : published_;
  }
  // The same for another thread to read: its bytes stay what they are as long as somebody keeps it.
  // Of `versions` only, once there is one.
  std::shared_ptr<const FileDescriptor> keep_published();
  // Whether the version in the making is what readers see.
  bool is_as_published() const noexcept { return !is_changed_; }

 private:
  std::string what(const char* attempt) const;
  FileDescriptor open_file(const std::string& name, int flags) const;
  void make_spare();
  void copy_range(uint64_t offset, uint64_t length);
  void copy_from_published(uint64_t offset, uint64_t length);
  void put(std::span<const std::byte> from, uint64_t offset);
  void punch(uint64_t offset, uint64_t length);
  // What a range has become: bytes, a hole, or either here and there.
  enum class Fill : uint8_t { bytes, hole, mixed };
  struct Change {
    ByteRange range;
    Fill fill = Fill::bytes;
  };
  void note(uint64_t offset, uint64_t length, Fill fill);
  bool is_published() const;
  void find_differences();  // of a spare that was there
  void join_changes();
  static constexpr size_t kJoinAtLeast = 1 << 16;

  const FileDescriptor folder_;
  const std::string name_;
  const std::string spare_name_;
  const Publish publish_;
  const Durable durable_;
  FileDescriptor published_;
  FileDescriptor spare_;
  std::weak_ptr<const FileDescriptor> published_keepers_, spare_keepers_;
  uint64_t size_ = 0;
  std::vector<Change> making_;     // since the last publish(), joined where they touch
  size_t join_at_ = kJoinAtLeast;  // so many of them are sorted and joined
  std::vector<Change> behind_;     // in which the spare is behind what readers see
  bool is_behind_ = false;         // catch_up() has something to do
  bool is_changed_ = false;        // since the last publish()
};

}  // namespace memsync::mmap_push
