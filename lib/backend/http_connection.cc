#include "lib/backend/http_connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <strings.h>

#include "lib/os/error.h"

namespace memsync {

namespace {

constexpr size_t kHeaderBytesMax = 64 << 10;  // of one request's answers together
constexpr long kRedirectsMax = 5;

void initialize_curl() {
  static const CURLcode kDone = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (kDone != CURLE_OK) throw_errno("initializing libcurl", ENOMEM);
}

template <typename Value>
void set(CURL* handle, CURLoption option, Value value) {
  if (const CURLcode code = curl_easy_setopt(handle, option, value); code != CURLE_OK)
    throw_errno("libcurl option " + std::to_string(option) + ": " + curl_easy_strerror(code),
                EINVAL);
}

// curl takes 0 for "no limit", so a deadline that has passed is a limit of 1 ms.
long milliseconds_of(Nanoseconds limit) {
  const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(limit).count();
  return static_cast<long>(std::clamp<int64_t>(rounded, 1, 86'400'000));
}

// What a transfer knows while libcurl calls back.
struct Transfer {
  CURL* handle;
  std::span<std::byte> into;
  HttpAnswer answer{};
  size_t header_bytes = 0;
};

std::string printable(std::string_view text) {
  while (!text.empty() && std::strchr(" \t\r\n", text.front()) != nullptr) text.remove_prefix(1);
  while (!text.empty() && std::strchr(" \t\r\n", text.back()) != nullptr) text.remove_suffix(1);
  const bool is_clean = std::all_of(text.begin(), text.end(),
                                    [](char letter) { return letter >= ' ' && letter <= '~'; });
  return is_clean ? std::string(text) : std::string{};
}

void take_header(std::string_view line, HttpAnswer& answer) {
  if (line.starts_with("HTTP/")) {  // another answer: what a redirect said does not count
    answer = {};
    return;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string name(line.substr(0, colon));
  const auto keep = [&](const char* wanted, std::string& value) {
    if (::strcasecmp(name.c_str(), wanted) == 0) value = printable(line.substr(colon + 1));
  };
  keep("Content-Range", answer.content_range);
  keep("Content-Encoding", answer.content_encoding);
  keep("ETag", answer.etag);
  keep("Last-Modified", answer.last_modified);
  keep("Retry-After", answer.retry_after);
}

// The callbacks: fewer bytes taken than offered end the transfer with CURLE_WRITE_ERROR.
size_t on_header(char* data, size_t, size_t bytes, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.header_bytes += bytes;
  if (transfer.header_bytes > kHeaderBytesMax) return 0;
  take_header({data, bytes}, transfer.answer);
  return bytes;
}

size_t on_body(char* data, size_t, size_t bytes, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  long status = 0;
  curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &status);
  if (status != 206) return 0;  // an error's text, or the whole object: none of it is wanted
  HttpAnswer& answer = transfer.answer;
  if (bytes > transfer.into.size() - answer.received) {
    answer.is_longer = true;
    return 0;
  }
  std::memcpy(transfer.into.data() + answer.received, data, bytes);
  answer.received += bytes;
  return bytes;
}

// The errno that a caller can act on.
int errno_of(CURLcode code, CURL* handle) {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return ETIMEDOUT;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return EHOSTUNREACH;
    case CURLE_COULDNT_CONNECT: {
      long os_error = 0;
      curl_easy_getinfo(handle, CURLINFO_OS_ERRNO, &os_error);
      return os_error != 0 ? static_cast<int>(os_error) : ECONNREFUSED;
    }
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return ECONNRESET;
    case CURLE_TOO_MANY_REDIRECTS:
      return ELOOP;
    case CURLE_PEER_FAILED_VERIFICATION:
      return EACCES;
    case CURLE_UNSUPPORTED_PROTOCOL:
      return EPROTONOSUPPORT;
    case CURLE_OUT_OF_MEMORY:
      return ENOMEM;
    default:
      return EIO;
  }
}

void note_failure(CURLcode code, const char* text, Transfer& transfer) {
  if (code == CURLE_OK) return;
  if (code == CURLE_WRITE_ERROR && transfer.header_bytes <= kHeaderBytesMax) return;  // by on_body
  HttpAnswer& answer = transfer.answer;
  answer.error = errno_of(code, transfer.handle);
  answer.reason = text[0] != '\0' ? text : curl_easy_strerror(code);
  if (code == CURLE_WRITE_ERROR)
    answer.reason = "the answer's header is longer than " + std::to_string(kHeaderBytesMax) + " B";
}

}  // namespace

std::string shown_url(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parts(curl_url(), &curl_url_cleanup);
  if (!parts) throw std::bad_alloc();
  if (curl_url_set(parts.get(), CURLUPART_URL, url.c_str(), CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
    throw std::invalid_argument("this is no URL that can be read: write http://HOST/PATH");
  for (const CURLUPart part :
       {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS, CURLUPART_QUERY, CURLUPART_FRAGMENT})
    curl_url_set(parts.get(), part, nullptr, 0);
  char* text = nullptr;
  if (curl_url_get(parts.get(), CURLUPART_URL, &text, 0) != CURLUE_OK) throw std::bad_alloc();
  const std::unique_ptr<char, decltype(&curl_free)> owner(text, &curl_free);
  std::string shown(text);
  if (!shown.starts_with("http://") && !shown.starts_with("https://"))
    throw std::invalid_argument(shown + " is neither http:// nor https://");
  return shown;
}

HttpConnection::HttpConnection(const std::string& url, const HttpOptions& options)
    : handle_((initialize_curl(), curl_easy_init()), &curl_easy_cleanup),
      connect_limit_(options.connect_limit) {
  CURL* const handle = handle_.get();
  if (handle == nullptr) throw_errno("making a connection for " + shown_url(url), ENOMEM);
  const char* const redirected_to = shown_url(url).starts_with("https") ? "https" : "http,https";
  set(handle, CURLOPT_URL, url.c_str());
  set(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  set(handle, CURLOPT_FOLLOWLOCATION, 1L);
  set(handle, CURLOPT_MAXREDIRS, kRedirectsMax);
  set(handle, CURLOPT_REDIR_PROTOCOLS_STR, redirected_to);
  set(handle, CURLOPT_NOSIGNAL, 1L);  // threads: no alarm(2) for the resolver
  set(handle, CURLOPT_USERAGENT, "memsync");
  set(handle, CURLOPT_HEADERFUNCTION, &on_header);
  set(handle, CURLOPT_WRITEFUNCTION, &on_body);
  if (!options.ca_file.empty()) set(handle, CURLOPT_CAINFO, options.ca_file.c_str());
}

HttpAnswer HttpConnection::get(std::span<std::byte> into, uint64_t offset,
                               const std::string& condition, Deadline deadline) {
  CURL* const handle = handle_.get();
  Transfer transfer{.handle = handle, .into = into};
  char failure[CURL_ERROR_SIZE] = "";
  const std::string range = std::to_string(offset) + "-" + std::to_string(offset + into.size() - 1);
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(
      condition.empty() ? nullptr : curl_slist_append(nullptr, condition.c_str()),
      &curl_slist_free_all);
  if (!condition.empty() && !headers) throw std::bad_alloc();
  const Nanoseconds left = deadline - Clock::now();
  set(handle, CURLOPT_RANGE, range.c_str());
  set(handle, CURLOPT_HTTPHEADER, headers.get());
  set(handle, CURLOPT_TIMEOUT_MS, milliseconds_of(left));
  set(handle, CURLOPT_CONNECTTIMEOUT_MS, milliseconds_of(std::min(left, connect_limit_)));
  set(handle, CURLOPT_HEADERDATA, &transfer);
  set(handle, CURLOPT_WRITEDATA, &transfer);
  set(handle, CURLOPT_ERRORBUFFER, &failure[0]);
  const CURLcode code = curl_easy_perform(handle);
  note_failure(code, failure, transfer);
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &transfer.answer.status);
  // They end with this call.
  set(handle, CURLOPT_ERRORBUFFER, static_cast<char*>(nullptr));
  set(handle, CURLOPT_HTTPHEADER, static_cast<curl_slist*>(nullptr));
  return std::move(transfer.answer);
}

}  // namespace memsync
