// An object by HTTP ranges from a real server, which is right or wrong as the path says.
#include "lib/backend/http_reader.h"

#include <gtest/gtest.h>
#include <set>

#include "lib/backend/http_test_server.h"
#include "lib/backend/open_reader.h"
#include "lib/backend/reader_contract.h"

namespace memsync {
namespace {

using test::HttpTestServer;
using namespace std::chrono_literals;

TEST(HttpReader, IsAReaderLikeAnyOther) {
  const Bytes content = seeded_bytes();
  const HttpTestServer server(content);
  const auto reader = open_reader(server.url("always/plain"), 0, 0);
  for (const ReaderCheck& check : kReaderChecks) {
    SCOPED_TRACE(check.name);
    check.run(*reader, content);
  }
}

TEST(HttpReader, AsksForTheWantedBytesOfTheVersionItOpenedAndNothingElse) {
  const HttpTestServer server(seeded_bytes());
  HttpReader reader(server.url("always/plain"));
  Bytes bytes(100);
  reader.read_at(bytes, 4096);
  reader.read_at(std::span(bytes).first(1), kContractSize - 1);
  reader.read_at({}, 7);
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].range, (ByteRange{0, 1}));
  EXPECT_EQ(requests[0].condition, "-");
  EXPECT_EQ(requests[1].range, (ByteRange{4096, 100}));
  EXPECT_EQ(requests[1].condition, "\"version-1\"");
  EXPECT_EQ(requests[2].range, (ByteRange{kContractSize - 1, 1}));
}

TEST(HttpReader, ReadsObjectsWithAWeakVersionOrNone) {
  const Bytes content = seeded_bytes();
  const HttpTestServer server(content);
  HttpReader weak(server.url("always/weak"));
  EXPECT_TRUE(reads_right(weak, content, 5, 5000));
  EXPECT_EQ(server.requests().back().condition, "Sat, 01 Aug 2026 10:00:00 GMT");
  HttpReader unversioned(server.url("always/unversioned"));
  EXPECT_TRUE(reads_right(unversioned, content, 5, 5000));
  EXPECT_EQ(server.requests().back().condition, "-");
}

TEST(HttpReader, OpensAnEmptyObject) {
  const HttpTestServer server({});
  HttpReader reader(server.url("always/plain"));
  EXPECT_EQ(reader.size_bytes(), 0u);
  EXPECT_NO_THROW(reader.read_at({}, 0));
}

TEST(HttpReader, FollowsAFewRedirects) {
  const Bytes content = seeded_bytes();
  const HttpTestServer server(content);
  HttpReader reader(server.url("always/redirect/3"));
  EXPECT_TRUE(reads_right(reader, content, 100, 8192));
}

TEST(HttpReader, TriesAgainWhenTheServerIsBusyOrTheConnectionLost) {
  const Bytes content = seeded_bytes();
  const HttpTestServer server(content);
  for (const char* path : {"always/busy/2", "later/busy/2/429", "later/busy/1/502",
                           "later/busy/1/504", "always/resets/2"}) {
    SCOPED_TRACE(path);
    HttpReader reader(server.url(path));
    EXPECT_TRUE(reads_right(reader, content, 3, 5000));
    EXPECT_TRUE(reads_right(reader, content, 3, 5000));
  }
}

// One way to answer wrongly, when opening or at a later read; the error and words of its sentence.
struct Wrong {
  const char* path;
  int error;
  const char* words;
};

void expect_error(const Wrong& wrong, const std::function<void()>& call) {
  try {
    call();
    ADD_FAILURE() << wrong.path << ": no error";
  } catch (const std::system_error& problem) {
    EXPECT_EQ(problem.code().value(), wrong.error) << problem.what();
    EXPECT_NE(std::string(problem.what()).find(wrong.words), std::string::npos) << problem.what();
  }
}

// For what goes on until the limit; any other answer ends a read at once.
HttpOptions impatient() {
  return {.limit = 1s};
}

TEST(HttpReader, NamesWhatIsWrongWhenItOpens) {
  const HttpTestServer server(seeded_bytes());
  const Wrong kWrong[] = {
      {"always/status/401", EACCES, "the server wants credentials (HTTP 401)"},
      {"always/status/403", EACCES, "the server forbids it (HTTP 403)"},
      {"always/status/404", ENOENT, "the server has no such object (HTTP 404)"},
      {"always/status/416", ESTALE, "does not reach that far any more (HTTP 416)"},
      {"always/status/418", EIO, "the server gives no range (HTTP 418)"},
      {"always/status/500", EIO, "the server failed (HTTP 500)"},
      {"always/status/503", EBUSY, "the server is overloaded (HTTP 503)"},
      {"always/status/429", EBUSY, "asked less often (HTTP 429)"},
      {"always/ignores-ranges", EIO, "ignores ranges and sends the whole object (HTTP 200)"},
      {"always/redirect/6", ELOOP, "redirects"},
      {"always/redirect-to-file", EPROTONOSUPPORT, "file"},
      {"always/silent", ETIMEDOUT, "timed out"},
      {"always/resets/1000", ECONNRESET, "opening http://127.0.0.1"},
  };
  for (const Wrong& wrong : kWrong) {
    SCOPED_TRACE(wrong.path);
    expect_error(wrong, [&] { HttpReader(server.url(wrong.path), impatient()); });
  }
}

TEST(HttpReader, NamesWhatIsWrongWithALaterAnswer) {
  const HttpTestServer server(seeded_bytes());
  const Wrong kWrong[] = {
      {"later/status/404", ENOENT, "reading 4096 bytes at 8192 of http://127.0.0.1"},
      {"later/status/416", ESTALE, "(HTTP 416)"},
      {"later/ignores-ranges", EIO, "(HTTP 200)"},
      {"later/new-version", ESTALE, "changed since it was opened (HTTP 412)"},
      {"later/new-version-unasked", ESTALE, "another version"},
      {"later/new-size", ESTALE, "20604 bytes now, 20603 when it was opened"},
      {"always/weak-then-changed", ESTALE, "(HTTP 412)"},
      {"later/other-range", EIO, "sent bytes 8193 to 12288 instead"},
      {"later/no-range", EIO, "does not say which bytes"},
      {"later/garbled-range", EIO, "does not say which bytes"},
      {"later/longer", EIO, "more bytes than were asked for"},
      {"later/shorter", EIO, "4095 bytes only"},
      {"later/encoded", EIO, "encoded"},
      {"later/endless-header", EIO, "header is longer than 65536 B"},
      {"later/cut", ECONNRESET, "reading 4096 bytes"},
      {"later/silent", ETIMEDOUT, "timed out"},
      {"later/busy-for-an-hour", EBUSY, "(HTTP 503)"},
  };
  for (const Wrong& wrong : kWrong) {
    SCOPED_TRACE(wrong.path);
    HttpReader reader(server.url(wrong.path), impatient());
    expect_error(wrong, [&] {
      Bytes bytes(4096);
      reader.read_at(bytes, 8192);
    });
  }
}

TEST(HttpReader, DoesNotTryAgainWhatCannotPassInTime) {
  const HttpTestServer server(seeded_bytes());
  for (const char* path : {"always/status/404", "always/busy-for-an-hour"}) {
    SCOPED_TRACE(path);
    const size_t before = server.requests().size();
    EXPECT_THROW(HttpReader(server.url(path)), std::system_error);
    EXPECT_EQ(server.requests().size(), before + 1);
  }
}

TEST(HttpReader, WritesNothingBeyondItsTargetWhateverComes) {
  const HttpTestServer server(seeded_bytes());
  for (const char* path : {"later/longer", "later/ignores-ranges", "later/other-range"}) {
    HttpReader reader(server.url(path));
    Bytes bytes(4096 + 64, std::byte{0xa5});
    EXPECT_THROW(reader.read_at(std::span(bytes).first(4096), 0), std::system_error);
    EXPECT_TRUE(std::all_of(bytes.begin() + 4096, bytes.end(), [](std::byte byte) {
      return byte == std::byte{0xa5};
    })) << path;
  }
}

TEST(HttpReader, KeepsSecretsOutOfItsMessages) {
  const HttpTestServer server(seeded_bytes());
  std::string url = server.url("always/status/403?signature=hidden");
  url.insert(url.find("127"), "user:secret@");
  try {
    HttpReader reader(url);
    ADD_FAILURE() << "opened what is forbidden";
  } catch (const std::system_error& problem) {
    const std::string text = problem.what();
    EXPECT_NE(text.find("/always/status/403"), std::string::npos) << text;
    EXPECT_EQ(text.find("secret"), std::string::npos) << text;
    EXPECT_EQ(text.find("hidden"), std::string::npos) << text;
  }
}

TEST(HttpReader, RefusesWhatIsNoUrlOfTheWeb) {
  EXPECT_THROW(HttpReader("ftp://127.0.0.1/x"), std::invalid_argument);
  EXPECT_THROW(HttpReader("file:///etc/passwd"), std::invalid_argument);
  EXPECT_THROW(HttpReader("127.0.0.1"), std::invalid_argument);
  EXPECT_THROW(HttpReader(""), std::invalid_argument);
}

TEST(HttpReader, SaysThatNobodyListens) {
  std::string url;
  {
    const HttpTestServer server(seeded_bytes());
    url = server.url("always/plain");
  }
  expect_error({"nobody", ECONNREFUSED, "opening http://127.0.0.1"}, [&] { HttpReader{url}; });
}

TEST(HttpReader, TrustsACertificateOnlyOfAnAuthorityItKnows) {
  const Bytes content = seeded_bytes();
  const HttpTestServer server(content, HttpTestServer::Tls::on);
  expect_error({"unknown authority", EACCES, "certificate"},
               [&] { HttpReader(server.url("always/plain")); });
  HttpReader reader(server.url("always/plain"), {.ca_file = server.certificate()});
  EXPECT_TRUE(reads_right(reader, content, 1, 9000));
}

}  // namespace
}  // namespace memsync
