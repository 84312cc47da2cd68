// The files of a hub: kept between the connections of their pushers, and published to receivers.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "approaches/mmap_push/hub/published_file.h"
#include "approaches/mmap_push/received_folder.h"
#include "lib/transport/stream.h"

namespace memsync::mmap_push {

// Threads: any; a file that was lent is its pusher's. The mutex is not held while files are read.
class HubFolder {
 public:
  HubFolder(std::string path, Durable durable, uint64_t seed);

  uint64_t seed() const noexcept { return seed_; }
  const std::string& path() const noexcept { return path_; }
  // Where a pusher's files are opened.
  ReceivedFolder open_folder() const;

  // Digests what an earlier hub left there and publishes it: the only digesting of what is held.
  // What no receiver could be given (a link, a name with control characters) is left alone.
  //   going_on  asked before each file, with its name; false ends it
  void load(const std::function<bool(const std::string& name)>& going_on);

  // What is kept of the file, for one pusher at a time; nullptr when nothing is. Throws EBUSY when
  // another one has it; one that has hung up is waited for, until its last round is dealt with.
  //   pusher  its connection, which outlives the loan
  std::unique_ptr<ReceivedFile> lend(const std::string& name, const Stream& pusher);
  // nullptr: nothing is to be kept.
  void give_back(const std::string& name, std::unique_ptr<ReceivedFile> file);

  // Its readers see a version: so may receivers. Returns its number, 0 when it is the last one.
  uint64_t publish(ReceivedFile& received);

  // All that were published, in that order, from the `first` one on; nullptr in place of one that
  // is published anew because its blocks have another size, and is_current() no longer.
  std::vector<std::shared_ptr<PublishedFile>> published_from(size_t first) const;
  bool is_current(const PublishedFile& file) const;
  // `wake`, an event, is signalled when there are more of them, until forget().
  void remember(const FileDescriptor& wake);
  void forget(const FileDescriptor& wake);
  // Whether a pusher has it.
  bool is_lent(const std::string& name) const;

 private:
  const std::string path_;
  const Durable durable_;
  const uint64_t seed_;
  mutable Mutex mutex_;
  struct Kept {
    std::unique_ptr<ReceivedFile> file;
    const Stream* pusher = nullptr;  // who has it
  };
  std::map<std::string, Kept> kept_ GUARDED_BY(mutex_);
  Condition given_back_;
  std::vector<std::shared_ptr<PublishedFile>> published_ GUARDED_BY(mutex_);
  std::map<std::string, PublishedFile*> by_name_ GUARDED_BY(mutex_);
  std::list<const FileDescriptor*> wakes_ GUARDED_BY(mutex_);
};

}  // namespace memsync::mmap_push
