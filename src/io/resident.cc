#include "io/resident.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace wary::io {

namespace {

// Segments of code: private mappings of a file that nobody can have written to, so that the file has all of them. One
// that needs relocations in its code (DT_TEXTREL, which the linker refuses us) would lose them.
int give_back_code(dl_phdr_info* object, std::size_t, void*) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  for (std::size_t i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type == PT_DYNAMIC) {
      const auto* entry =
          reinterpret_cast<const ElfW(Dyn)*>(object->dlpi_addr + segment.p_vaddr);  // NOLINT: the loader's
      for (; entry->d_tag != DT_NULL; ++entry) {
        if (entry->d_tag == DT_TEXTREL) return 0;
      }
    }
  }
  for (std::size_t i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0 || (segment.p_flags & PF_W) != 0) continue;
    const std::uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) & ~(page - 1);
    const std::uintptr_t end = object->dlpi_addr + segment.p_vaddr + segment.p_filesz;
    // The kernel's own page of code (vdso) is no file's, and says no.
    (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);  // NOLINT: the loader's addresses
  }
  return 0;
}

}  // namespace

void give_back_memory() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  malloc_trim(0);
#endif
  dl_iterate_phdr(give_back_code, nullptr);
}

}  // namespace wary::io
