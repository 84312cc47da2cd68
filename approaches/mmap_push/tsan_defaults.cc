// What TSan should know about tests of both sides: the source reads bytes that its application is
// just writing; what it makes of them is taken back by the next look.
extern "C" {

const char* __tsan_default_suppressions();

const char* __tsan_default_suppressions() {
  return "race:memsync::hash_chunk\n"
         "race:memsync::copy_chunk\n"
         "race:memsync::ShadowDetector::differs\n";
}
}
