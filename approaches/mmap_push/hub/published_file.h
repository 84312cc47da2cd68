// A file of the hub as its receivers get it: the version that is published, and what each of them
// lacks of it.
//
//   pusher's thread                                    receiver's thread, one per receiver
//   publish(version k + 1) ── which blocks differ ──▶  each Subscription's set of missing blocks
//                                          wakes it ─▶ take(): the version, and the set emptied
//                                                      sends; done ─▶ acknowledge(k + 1)
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "approaches/mmap_push/block_table.h"
#include "approaches/mmap_push/hub/block_set.h"
#include "approaches/mmap_push/wire.h"
#include "lib/os/file_descriptor.h"
#include "lib/os/mutex.h"

namespace memsync::mmap_push {

// One version's bytes, for as long as it is kept or until they are taken back. Threads: any.
class Version {
 public:
  Version(uint64_t its_number, uint64_t its_size_bytes, const Digest& its_table,
          std::shared_ptr<const FileDescriptor> file)
      : number(its_number), size_bytes(its_size_bytes), table(its_table), file_(std::move(file)) {}

  // False: taken back. Throws std::system_error.
  bool read(std::span<std::byte> into, uint64_t offset) const;
  void take_back() const;

  const uint64_t number;
  const uint64_t size_bytes;
  const Digest table;

 private:
  mutable Mutex mutex_;
  mutable std::shared_ptr<const FileDescriptor> file_ GUARDED_BY(mutex_);
};

class PublishedFile;

// What one receiver may lack of one file. Belongs to the receiver's thread; what is in `shared_` is
// the file's, under its mutex. Told of every version from its construction on.
class Subscription {
 public:
  // `file`, `wake` (an event, signalled when there is something to send) and `receiver` outlive
  // this.
  Subscription(PublishedFile& file, const FileDescriptor& wake, const std::string& receiver);
  ~Subscription();
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

  PublishedFile& file;

 private:
  friend class PublishedFile;
  const FileDescriptor& wake_;
  const std::string& receiver_;
  struct Shared {
    BlockSet missing;           // of the published version
    uint64_t acknowledged = 0;  // the version that its readers see; 0: of none
  } shared_;
};

// What one receiver has of a file.
struct Holding {
  std::string receiver;
  uint64_t version = 0;
  uint64_t missing_bytes = 0;  // of the published one, at most
};

// Threads: publish() from one at a time; the rest from any. The mutex is a leaf.
class PublishedFile {
 public:
  // Old versions that receivers are being sent; each takes the room of a whole file. When one more
  // is needed, the oldest is taken back and its receivers go on with the published one.
  static constexpr size_t kOldVersionsMax = 4;

  PublishedFile(std::string name, uint64_t block_bytes, uint64_t seed);

  const std::string name;
  const uint32_t block_bytes;

  // `table` is the file's that `file` is open on. Blocks whose digests are new are missing at every
  // receiver afterwards.
  //   returns  whether there was any difference: if not, the version keeps its number
  bool publish(const BlockTable& table, std::shared_ptr<const FileDescriptor> file);

  // Of the published version; there is one.
  uint64_t size_bytes() const;
  uint64_t number() const;

  // What a receiver says that it holds: digests of its blocks from `first` on, or all of them at
  // once. Others than the published ones are missing; equals(): whether none is.
  bool equals(const Digest& table, uint64_t size_bytes) const;
  void compare(Subscription& subscription, uint64_t first, std::span<const Digest> digests) const;
  void miss_from(Subscription& subscription, uint64_t first) const;

  // What is to be sent: a version and the blocks, of which those in `zeros` are nothing but zeros.
  struct Sending {
    std::shared_ptr<const Version> version;
    BlockSet blocks, zeros;
  };
  // nullopt: the receiver has the published version. From here on these blocks are the caller's
  // care, who gives back what it hasn't sent.
  std::optional<Sending> take(Subscription& subscription);
  void give_back(Subscription& subscription, const BlockSet& unsent);
  // Its readers see that version.
  void acknowledge(Subscription& subscription, uint64_t version);

  std::vector<Holding> holdings() const;

 private:
  friend class Subscription;
  void retire(std::shared_ptr<const Version> old) REQUIRES(mutex_);

  mutable Mutex mutex_;
  BlockTable digests_ GUARDED_BY(mutex_);
  std::shared_ptr<const Version> current_ GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<const Version>> old_ GUARDED_BY(mutex_);  // the oldest first
  std::list<Subscription*> subscriptions_ GUARDED_BY(mutex_);
};

}  // namespace memsync::mmap_push
