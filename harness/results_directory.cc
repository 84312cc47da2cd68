#include "harness/results_directory.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/file.h>
#include <unistd.h>

#include "lib/os/error.h"

namespace memsync {

namespace fs = std::filesystem;

ResultsDirectory::ResultsDirectory(std::string path) : path_(std::move(path)) {
  lock_ = FileDescriptor::open(path_, O_RDONLY | O_DIRECTORY);
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0)
    throw std::runtime_error(path_ +
                             " is being written by another memsync: let it end, or stop it");
}

ResultsDirectory ResultsDirectory::create(const std::string& wanted) {
  const std::string path = fs::absolute(wanted).lexically_normal().string();
  fs::create_directories(fs::path(path).parent_path());
  if (!fs::create_directory(path) && !fs::is_empty(path))
    throw std::invalid_argument(path +
                                " is there already and results are never overwritten: name another "
                                "one, or go on with it by `memsync run --resume " +
                                path + "`");
  ResultsDirectory directory(path);
  fs::create_directory(directory.file("logs"));
  fs::create_directory(directory.file("figures"));
  directory.open_rows();
  return directory;
}

ResultsDirectory ResultsDirectory::create_unique(const std::string& results_folder,
                                                 const std::string& name) {
  fs::create_directories(results_folder);
  for (int attempt = 1;; ++attempt) {
    const std::string path =
        results_folder + "/" + name + (attempt == 1 ? "" : "-" + std::to_string(attempt));
    if (fs::create_directory(path)) return create(path);
  }
}

ResultsDirectory ResultsDirectory::reopen(const std::string& path) {
  const std::string absolute = fs::absolute(path).lexically_normal().string();
  if (!fs::exists(absolute + "/manifest.json") || !fs::exists(absolute + "/runs.csv"))
    throw std::invalid_argument(path +
                                " is no results directory: it lacks manifest.json or runs.csv");
  ResultsDirectory directory(absolute);
  const std::string rows = directory.read_file("runs.csv");
  if (const size_t end = rows.rfind('\n'); end != std::string::npos && end + 1 < rows.size())
    fs::resize_file(directory.file("runs.csv"), end + 1);
  directory.open_rows();
  return directory;
}

void ResultsDirectory::open_rows() {
  rows_ = FileDescriptor::open(file("runs.csv"), O_WRONLY | O_CREAT | O_APPEND);
  if (check(::lseek(rows_.get(), 0, SEEK_END), "reading the size of " + file("runs.csv")) > 0)
    return;
  const std::string header = csv_header();
  write_all(rows_.get(), header.data(), header.size(), "writing " + file("runs.csv"));
}

void ResultsDirectory::write_file(const std::string& name, const std::string& text) const {
  const std::string path = file(name);
  const std::string draft = path + ".new";
  {
    const auto out = FileDescriptor::open(draft, O_WRONLY | O_CREAT | O_TRUNC);
    write_all(out.get(), text.data(), text.size(), "writing " + path);
    check(::fsync(out.get()), "writing " + path);
  }
  check(::rename(draft.c_str(), path.c_str()), "writing " + path);
}

void ResultsDirectory::write_json(const std::string& name, const nlohmann::json& json) const {
  write_file(name, json.dump(2) + "\n");
}

std::string ResultsDirectory::read_file(const std::string& name) const {
  std::ifstream in(file(name), std::ios::binary);
  if (!in) throw_errno("reading " + file(name));
  return {std::istreambuf_iterator<char>(in), {}};
}

nlohmann::json ResultsDirectory::read_json(const std::string& name) const {
  auto json = nlohmann::json::parse(read_file(name), nullptr, false);
  if (json.is_discarded()) throw std::runtime_error(file(name) + " is no JSON");
  return json;
}

void ResultsDirectory::append(const Row& row) {
  const std::string line = row.csv();
  const off_t before = check(::lseek(rows_.get(), 0, SEEK_END), "appending to " + file("runs.csv"));
  try {
    write_all(rows_.get(), line.data(), line.size(), "appending to " + file("runs.csv"));
    check(::fsync(rows_.get()), "appending to " + file("runs.csv"));
  } catch (const std::system_error&) {
    // Half a row would be read as a torn one; none is better. If even this fails, resume cuts it.
    [[maybe_unused]] const int cut = ::ftruncate(rows_.get(), before);
    throw;
  }
}

std::vector<Row> ResultsDirectory::rows() const {
  const auto records = parse_csv(read_file("runs.csv"));
  std::vector<Row> rows;
  for (size_t index = 1; index < records.size(); ++index) {
    std::map<std::string, std::string> cells;
    for (size_t column = 0; column < std::min(records[0].size(), records[index].size()); ++column)
      cells[records[0][column]] = records[index][column];
    rows.push_back(Row::from_csv(cells));
  }
  return rows;
}

}  // namespace memsync
