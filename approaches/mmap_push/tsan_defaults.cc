// What TSan should know about tests of both sides. The source reads bytes that its application is
// just writing; what it makes of them is taken back by the next look. And a version is mapped over
// the one before while it is read, which the kernel does at once (mmap(2), MAP_FIXED).
extern "C" {

const char* __tsan_default_suppressions();

const char* __tsan_default_suppressions() {
  return "race:memsync::hash_chunk\n"
         "race:memsync::copy_chunk\n"
         "race:memsync::ShadowDetector::differs\n"
         "race:memsync::mmap_push::Window::show\n";
}
}
