// A campaign on disk: written once, never overwritten, resumable, enough for every figure.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "harness/columns.h"
#include "lib/os/file_descriptor.h"

namespace memsync {

// Threads: one. Every write throws std::system_error naming the path.
class ResultsDirectory {
 public:
  // Makes a directory that is not there yet (`wanted`), or <results>/<name> with -2, -3 ... behind
  // it when campaigns begin in the same second.
  static ResultsDirectory create(const std::string& wanted);
  static ResultsDirectory create_unique(const std::string& results_folder, const std::string& name);
  // Opens one that is there, to go on with it. A torn last line of runs.csv is cut off. Throws
  // std::runtime_error when it is no campaign's directory or another process writes to it.
  static ResultsDirectory reopen(const std::string& path);

  const std::string& path() const noexcept { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

  // Writes a file as a whole: a reader sees the old one or the new one (rename, fsynced).
  void write_file(const std::string& name, const std::string& text) const;
  void write_json(const std::string& name, const nlohmann::json& json) const;
  std::string read_file(const std::string& name) const;
  nlohmann::json read_json(const std::string& name) const;

  // Appends to runs.csv; returns when the row is on the disk. A row that did not fit is taken back.
  void append(const Row& row);
  std::vector<Row> rows() const;

 private:
  explicit ResultsDirectory(std::string path);
  void open_rows();
  std::string path_;
  FileDescriptor lock_;
  FileDescriptor rows_;
};

}  // namespace memsync
