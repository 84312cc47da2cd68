// The files that a receiver keeps: by name, below one folder and never outside it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "approaches/mmap_push/block_table.h"
#include "approaches/mmap_push/version_file.h"

namespace memsync::mmap_push {

// A file and what is held of it, from one connection to the next.
struct ReceivedFile {
  ReceivedFile(FileDescriptor folder, std::string its_name, std::string last_part, Publish publish,
               Durable durable, uint64_t block_bytes)
      : name(std::move(its_name)),
        file(std::move(folder), std::move(last_part), publish, durable),
        table(block_bytes) {}
  const std::string name;
  VersionFile file;
  BlockTable table;  // of the version in the making
  uint64_t round = 0;
  uint64_t versions = 0;  // that its readers were given
};

// Threads: one.
class ReceivedFolder {
 public:
  // Throws std::system_error when there is no such folder.
  ReceivedFolder(const std::string& path, Publish publish, Durable durable);
  // Opens or makes the file, and the folders that its name leads through; digests what is there.
  // Throws RegionError::refused for a name that name_problem() refuses, std::system_error when it
  // can't be opened or leads through a symbolic link.
  ReceivedFile& open(const std::string& name, uint32_t block_bytes);
  // Digests what its readers see, whatever was known of it.
  static void reread(ReceivedFile& received);
  // The next open() digests the file anew.
  void forget(const ReceivedFile& received);

 private:
  FileDescriptor folder_of(const std::string& name) const;

  const FileDescriptor root_;
  const Publish publish_;
  const Durable durable_;
  std::map<std::string, std::unique_ptr<ReceivedFile>> files_;
};

}  // namespace memsync::mmap_push
