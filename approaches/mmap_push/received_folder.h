// The files that a receiver keeps: by name, below one folder and never outside it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "approaches/mmap_push/block_table.h"
#include "approaches/mmap_push/version_file.h"
#include "approaches/mmap_push/wire.h"

namespace memsync::mmap_push {

// A file and what is held of it, from one connection to the next.
struct ReceivedFile {
  ReceivedFile(FileDescriptor folder, std::string its_name, std::string last_part, Publish publish,
               Durable durable, uint64_t block_bytes, uint64_t seed)
      : name(std::move(its_name)),
        file(std::move(folder), std::move(last_part), publish, durable),
        table(block_bytes, seed) {}
  const std::string name;
  VersionFile file;
  BlockTable table;  // of the version in the making
  uint64_t round = 0;
  uint64_t versions = 0;  // that its readers were given
};

// What a source may use of a receiver: a few bytes of its own can ask for any of it.
struct ReceivedLimits {
  uint64_t file_bytes = kSizeMax;
  uint64_t blocks = kBlocksMax;  // of all files of the folder's object; digests are kept in memory
};

// The folder, for this process alone until it is closed: two that write to the same spare would
// both believe what they have written. Throws std::system_error, EBUSY when another process has it.
FileDescriptor own_folder(const std::string& path);

// Threads: one. Several of one process may share a folder as long as no two open the same name.
class ReceivedFolder {
 public:
  // `seed`: of all digests; nullopt: a random one. Throws std::system_error when there is no such
  // folder.
  ReceivedFolder(const std::string& path, Publish publish, Durable durable,
                 ReceivedLimits limits = {}, std::optional<uint64_t> seed = {});
  // Opens or makes the file, and the folders that its name leads through; digests what is there.
  // Throws RegionError::refused for a name that name_problem() refuses, std::system_error when it
  // can't be opened or leads through a symbolic link.
  ReceivedFile& open(const std::string& name, uint32_t block_bytes);
  // Digests what its readers see, whatever was known of it.
  static void reread(ReceivedFile& received);
  // Throws RegionError::refused unless `received` may become so long.
  void check_room(const ReceivedFile& received, uint64_t size_bytes) const;
  // The next open() digests the file anew.
  void forget(const ReceivedFile& received);

  // How files that are kept elsewhere between connections come and go. adopt(): open() finds it,
  // where it has the same blocks. release(): empty where it was forgotten.
  void adopt(std::unique_ptr<ReceivedFile> file);
  std::unique_ptr<ReceivedFile> release(const std::string& name);

  // What a hub decides: the seed of digests, and whether there are any; without, blocks are taken
  // as they come and nothing is compared. Forgets all files where that is new.
  enum class Digests : uint8_t { kept, none };
  void agree(uint64_t seed, Digests digests);
  Digests digests() const noexcept { return digests_; }

 private:
  FileDescriptor folder_of(const std::string& name) const;
  void note_what_is_there(ReceivedFile& received) const;

  const FileDescriptor root_;
  const Publish publish_;
  const Durable durable_;
  const ReceivedLimits limits_;
  uint64_t seed_;
  Digests digests_ = Digests::kept;
  std::map<std::string, std::unique_ptr<ReceivedFile>> files_;
};

}  // namespace memsync::mmap_push
