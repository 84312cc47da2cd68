// What TSan should know about tests of detectors: they read bytes that somebody is just writing,
// for that is what they are for. What they make of them is taken back by the next look.
// NOLINTBEGIN(bugprone-reserved-identifier, readability-identifier-naming): TSan names it
extern "C" {

const char* __tsan_default_suppressions();

const char* __tsan_default_suppressions() {
  return "race:memsync::hash_chunk\n"
         "race:memsync::copy_chunk\n"
         "race:memsync::ShadowDetector::differs\n";
}
}
// NOLINTEND(bugprone-reserved-identifier, readability-identifier-naming)
