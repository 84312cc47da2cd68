#include "approaches/baselines/rsync_program.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <poll.h>
#include <unistd.h>

#include "lib/os/error.h"

namespace memsync::rsync {

namespace {

constexpr size_t kWordsMax = 600;  // of a program's last words

// The end of a text, its lines joined.
std::string last_words(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.size() > kWordsMax) text = "... " + text.substr(text.size() - kWordsMax);
  std::replace(text.begin(), text.end(), '\n', '|');
  return text.empty() ? "it said nothing" : text;
}

std::string text_of(const FileDescriptor& file) {
  std::string text(1 << 16, '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Until the process has ended. False at the deadline; throws ECANCELED when `stop` is readable.
bool ended(const Process& process, const FileDescriptor& stop, Deadline deadline) {
  pollfd waits[] = {{process.descriptor().get(), POLLIN, 0}, {stop.get(), POLLIN, 0}};
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    const int ready = ::poll(waits, 2, static_cast<int>(std::clamp<int64_t>(left, 0, 1'000'000)));
    if (ready < 0 && errno != EINTR) throw_errno("waiting for rsync");
    if (ready > 0 && waits[0].revents != 0) return true;
    if (ready > 0) throw_errno("running rsync", ECANCELED);
    if (ready == 0 && Clock::now() >= deadline) return false;
  }
}

std::string make_configuration(const DaemonSetup& setup, const std::string& log) {
  const std::string path = setup.folder + "/rsyncd.conf";
  std::ofstream file(path);
  // Names of hosts are looked up by default, which takes seconds where nobody answers.
  file << "use chroot = no\nreverse lookup = no\nlog file = " << log << "\n";
  // Root's daemon becomes nobody by default, who can't enter the folder; others can't become
  // anybody.
  if (::geteuid() == 0) file << "uid = 0\ngid = " << ::getegid() << "\n";
  file << "[" << Daemon::kModule << "]\npath = " << setup.folder << "/" << Daemon::kData
       << "\nread only = no\nlist = no\nhosts allow = " << setup.allowed << "\n";
  file.close();
  if (!file) throw_errno("writing " + path, EIO);
  return path;
}

Process start_daemon(const DaemonSetup& setup, const std::string& log) {
  const auto nothing = FileDescriptor::open("/dev/null", O_RDONLY);
  const auto output = FileDescriptor::open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  ProcessSetup start;
  start.arguments = {"rsync",
                     "--daemon",
                     "--no-detach",
                     "--config=" + make_configuration(setup, log),
                     "--address=" + setup.address,
                     "--port=" + std::to_string(setup.port)};
  start.arguments.insert(start.arguments.end(), setup.switches.begin(), setup.switches.end());
  start.descriptors = {{nothing.get(), 0}, {output.get(), 1}, {output.get(), 2}};
  start.environment = {"LC_ALL=C"};
  start.group = ProcessGroup::killed_with_it;
  return Process::start(start);
}

}  // namespace

std::optional<Transfer> parse_stats(std::string_view text) {
  const auto number_after = [&](std::string_view words) -> std::optional<uint64_t> {
    const size_t found = text.find(words);
    if (found == std::string_view::npos) return std::nullopt;
    const std::string_view rest = text.substr(found + words.size());
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    const bool is_plain = std::string_view(end, rest.data() + rest.size()).starts_with(" bytes");
    return error == std::errc{} && is_plain ? std::optional(number) : std::nullopt;
  };
  const auto literal = number_after("Literal data: ");
  const auto matched = number_after("Matched data: ");
  if (!literal || !matched) return std::nullopt;
  return Transfer{*literal, *matched};
}

Transfer run(const std::vector<std::string>& arguments, const FileDescriptor& stop,
             Deadline deadline) {
  const auto nothing = FileDescriptor::open("/dev/null", O_RDONLY);
  const auto output = FileDescriptor::memory_file("rsync-output", 0);
  ProcessSetup setup;
  setup.arguments = {"rsync", "--stats", "--no-human-readable"};
  setup.arguments.insert(setup.arguments.end(), arguments.begin(), arguments.end());
  setup.descriptors = {{nothing.get(), 0}, {output.get(), 1}, {output.get(), 2}};
  setup.environment = {"LC_ALL=C"};
  Process process = Process::start(setup);
  if (!ended(process, stop, deadline)) throw_errno("running rsync", ETIMEDOUT);
  const ProcessEnd end = process.wait_until(deadline).value();
  const std::string text = text_of(output);
  if (end.signal != 0 || end.exit_code != 0)
    throw_errno("running rsync: " + end.describe() + ": " + last_words(text), EIO);
  if (const auto transfer = parse_stats(text)) return *transfer;
  throw_errno("reading what rsync --stats says: " + last_words(text), EPROTO);
}

Daemon::Daemon(const DaemonSetup& setup)
    : log_(setup.folder + "/log"), process_(start_daemon(setup, log_)) {}

std::optional<std::string> Daemon::problem() const {
  MutexLock lock(mutex_);
  const auto end = process_.wait_until(Clock::now());
  if (!end) return std::nullopt;
  return "the rsync daemon has ended: " + end->describe() + ": " + last_words(text_of(log_));
}

}  // namespace memsync::rsync
