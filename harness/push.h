// memsync push: files are brought to a `memsync receive`, once or again and again.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "approaches/mmap_push/path_source.h"
#include "approaches/mmap_push/settings.h"
#include "harness/tls_options.h"

namespace memsync {

struct PushOptions {
  std::vector<std::string> words;              // files (PATH or NAME=PATH), and the address last
  std::string interval;                        // "": one round
  bool once = false;                           // said, not only meant
  std::map<std::string, std::string> knobs{};  // options of mmap_push, by name
  std::string writers = "any";                 // or file-calls
  std::string patience = "60s";
  bool verify = false;
  TlsOptions tls{};
  bool json = false;
};

// What is asked for, checked.
struct PushPlan {
  struct File {
    std::string name;  // at the receiver
    std::string path;
  };
  std::vector<File> files;
  std::string address;
  Nanoseconds interval{};  // 0: one round
  Nanoseconds patience{};  // with a connection that stays away
  mmap_push::Settings settings;
  WriterSet writers;
  bool has_own_block = false;  // --block was given
  bool verify = false;
  TlsOptions tls{};
  bool json = false;
};

// Throws std::invalid_argument, one sentence.
PushPlan plan_of(const PushOptions& options);
// The smallest block of which a file of that size has few enough, with room to grow fourfold.
uint32_t block_bytes_for(uint64_t size_bytes);

// Returns an exit code. Throws std::invalid_argument for usage, Interrupted for Ctrl-C before the
// files were equal.
int push_command(const PushOptions& options);

}  // namespace memsync
