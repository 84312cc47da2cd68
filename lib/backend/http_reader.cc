#include "lib/backend/http_reader.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "lib/backend/stores.h"
#include "lib/os/error.h"
#include "lib/region/geometry.h"

namespace memsync {

namespace {

constexpr Nanoseconds kFirstPause = std::chrono::milliseconds(50);  // doubled at each further try
constexpr unsigned kRetryAfterMax = 3600;                           // seconds

struct Problem {
  int error;
  std::string sentence;
};

struct Refusal {
  long status;
  int error;
  const char* sentence;
};
constexpr Refusal kRefusals[] = {
    {200, EIO, "the server ignores ranges and sends the whole object"},
    {401, EACCES, "the server wants credentials"},
    {403, EACCES, "the server forbids it"},
    {404, ENOENT, "the server has no such object"},
    {412, ESTALE, "the object was changed since it was opened"},
    {416, ESTALE, "the object does not reach that far any more"},
    {429, EBUSY, "the server asks to be asked less often"},
    {500, EIO, "the server failed"},
    {502, EBUSY, "the server behind the gateway failed"},
    {503, EBUSY, "the server is overloaded"},
    {504, EBUSY, "the server behind the gateway was too slow"},
};

std::string with_status(const std::string& sentence, long status) {
  return sentence + " (HTTP " + std::to_string(status) + ")";
}

// Content-Range: bytes FIRST-LAST/TOTAL. (RFC 9110, 14.4; a total of `*` is of no use here)
struct ContentRange {
  uint64_t first = 0;
  uint64_t last = 0;
  uint64_t total = 0;
};
std::optional<ContentRange> parse_content_range(std::string_view text) {
  ContentRange range;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  const auto number = [&](uint64_t& value) {
    const auto [next, error] = std::from_chars(at, end, value);
    at = next;
    return error == std::errc{};
  };
  const auto word = [&](std::string_view wanted) {
    if (!std::string_view(at, end).starts_with(wanted)) return false;
    at += wanted.size();
    return true;
  };
  if (!word("bytes ") || !number(range.first) || !word("-") || !number(range.last) || !word("/") ||
      !number(range.total) || at != end)
    return std::nullopt;
  return range.first <= range.last && range.last < range.total ? std::optional(range)
                                                               : std::nullopt;
}

bool may_pass_by_itself(const HttpAnswer& answer) {
  if (answer.error != 0) return answer.error == ECONNRESET;
  return answer.status == 429 || (answer.status >= 502 && answer.status <= 504);
}

Nanoseconds asked_pause(const HttpAnswer& answer) {
  unsigned pause = 0;  // a date instead of seconds counts as nothing said
  std::from_chars(answer.retry_after.data(), answer.retry_after.data() + answer.retry_after.size(),
                  pause);
  return std::chrono::seconds(std::min(pause, kRetryAfterMax));
}

std::string version_of(const HttpAnswer& answer) {
  return answer.etag.empty() ? answer.last_modified : answer.etag;
}

// A weak ETag never matches (RFC 9110, 13.1.1): then the time must do.
std::string condition_for(const HttpAnswer& answer) {
  if (!answer.etag.empty() && !answer.etag.starts_with("W/")) return "If-Match: " + answer.etag;
  if (!answer.last_modified.empty()) return "If-Unmodified-Since: " + answer.last_modified;
  return "";
}

// What is wrong with the answer to a request for `asked`; nullopt: exactly these bytes came.
std::optional<Problem> problem_of(const HttpAnswer& answer, ByteRange asked) {
  if (answer.error != 0) return Problem{answer.error, answer.reason};
  for (const Refusal& refusal : kRefusals)
    if (answer.status == refusal.status)
      return Problem{refusal.error, with_status(refusal.sentence, refusal.status)};
  if (answer.status != 206)
    return Problem{EIO, with_status("the server gives no range", answer.status)};
  const auto range = parse_content_range(answer.content_range);
  if (!range) return Problem{EIO, "the answer does not say which bytes it holds (Content-Range)"};
  if (range->first != asked.offset || range->last != asked.offset + asked.length - 1)
    return Problem{EIO, "the server sent bytes " + std::to_string(range->first) + " to " +
                            std::to_string(range->last) + " instead"};
  if (answer.is_longer) return Problem{EIO, "the server sent more bytes than were asked for"};
  if (answer.received != asked.length)
    return Problem{EIO, "the server sent " + std::to_string(answer.received) + " bytes only"};
  if (!answer.content_encoding.empty() && answer.content_encoding != "identity")
    return Problem{EIO, "the server sent the bytes encoded"};
  return std::nullopt;
}

}  // namespace

HttpReader::HttpReader(std::string url, HttpOptions options)
    : url_(std::move(url)), shown_(shown_url(url_)), options_(std::move(options)) {
  open();
}

HttpReader::~HttpReader() = default;

// A request for the first byte instead of HEAD: it also shows whether ranges are served at all, and
// a URL that is signed for reading need not be good for HEAD.
void HttpReader::open() {
  std::byte first{};
  const HttpAnswer answer = ask({&first, 1}, 0);
  if (answer.status == 416 && answer.content_range == "bytes */0") return;  // an empty object
  if (const auto problem = problem_of(answer, {0, 1}))
    throw_errno("opening " + shown_ + ": " + problem->sentence, problem->error);
  size_ = parse_content_range(answer.content_range)->total;
  version_ = version_of(answer);
  condition_ = condition_for(answer);
}

void HttpReader::read_at(std::span<std::byte> into, uint64_t offset) {
  check_range(offset, into.size(), size_);
  if (into.empty()) return;
  const HttpAnswer answer = ask(into, offset);
  auto problem = problem_of(answer, {offset, into.size()});
  if (!problem) {
    const uint64_t total = parse_content_range(answer.content_range)->total;
    if (total != size_)
      problem = {ESTALE, "the object has " + std::to_string(total) + " bytes now, " +
                             std::to_string(size_) + " when it was opened"};
    else if (version_of(answer) != version_)
      problem = {ESTALE, "the object was changed since it was opened (another version)"};
  }
  if (problem)
    throw_errno("reading " + std::to_string(into.size()) + " bytes at " + std::to_string(offset) +
                    " of " + shown_ + ": " + problem->sentence,
                problem->error);
}

// Tries until an answer settles it or the next try would come too late. What the last try found
// is the answer.
HttpAnswer HttpReader::ask(std::span<std::byte> into, uint64_t offset) {
  const Deadline deadline = after(options_.limit);
  std::unique_ptr<HttpConnection> connection;
  {
    MutexLock lock(mutex_);
    if (!idle_.empty()) {
      connection = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (!connection) connection = std::make_unique<HttpConnection>(url_, options_);
  HttpAnswer answer = connection->get(into, offset, condition_, deadline);
  for (Nanoseconds pause = kFirstPause; may_pass_by_itself(answer); pause *= 2) {
    const Deadline next = after(std::max(pause, asked_pause(answer)));
    if (next >= deadline) break;
    sleep_until_deadline(next);
    answer = connection->get(into, offset, condition_, deadline);
  }
  MutexLock lock(mutex_);
  idle_.push_back(std::move(connection));
  return answer;
}

}  // namespace memsync
