// Detectors that watch the file, not the memory: they see calls that change it and no store, and
// say only that something has changed. Idle, they cost one system call a look.
#pragma once

#include <sys/stat.h>

#include "lib/detection/change_detector.h"
#include "lib/os/file_descriptor.h"

namespace memsync {

// Kind mtime: compares what stat(2) says of the file's times and size.
//
// A write(2) stamps the file, then copies its bytes: who looks in between sees the stamp and reads
// the bytes of before, and no other stamp follows. So after a new stamp take() waits until the
// calls that are under way have ended. And where stamps are as coarse as the clock's tick, two
// writes may share one: a stamp of the present tick is taken for new once more.
class MtimeDetector final : public ChangeDetector {
 public:
  explicit MtimeDetector(const Watched& watched);
  std::vector<ChunkIndex> take() override;
  void note_held(ChunkIndex, std::span<const std::byte>) override {}
  bool compares() const noexcept override { return false; }

 private:
  struct Stamps {
    timespec modified{};
    timespec changed{};
    off_t size = -1;
    bool operator==(const Stamps& other) const;
  };
  bool has_changed();
  void wait_for_calls_under_way() const;
  const Geometry geometry_;
  const FileDescriptor file_;
  Stamps seen_;
  bool may_share_stamp_ = false;  // a write after the last look may bear the stamp seen there
};

// Kind inotify: IN_MODIFY comes after the bytes are written.
class InotifyDetector final : public ChangeDetector {
 public:
  explicit InotifyDetector(const Watched& watched);
  std::vector<ChunkIndex> take() override;
  void note_held(ChunkIndex, std::span<const std::byte>) override {}
  bool compares() const noexcept override { return false; }
  // Readable when take() would name chunks: what an idle sender waits for.
  const FileDescriptor& descriptor() const noexcept { return events_; }

 private:
  bool take_events();
  const Geometry geometry_;
  const FileDescriptor events_;
  bool is_first_ = true;
};

// Whether calls on an anonymous memory file (memfd_create(2)) raise events here: newer kernels
// spare them. Found by trying.
bool memory_files_raise_events();

}  // namespace memsync
