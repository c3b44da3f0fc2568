#include "io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace wary::io {

namespace {

Error file_error(const std::string& path, int error) {
  if (error == ENOSPC || error == EDQUOT) {
    return fail(ErrorKind::kExhausted, "file_no_space", "no space left on the device").at(path);
  }
  if (error == EACCES || error == EPERM) {
    return fail(ErrorKind::kDenied, "file_permission", "not allowed to open this file").at(path);
  }
  return fail(ErrorKind::kUnavailable, "file_io", "cannot map this file").at(path).found(std::strerror(error));
}

}  // namespace

Result<std::unique_ptr<MappedFile>> MappedFile::open(const std::string& path, std::size_t size) {
  const Descriptor descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!descriptor.is_open()) return file_error(path, errno);
  struct stat status{};
  if (fstat(descriptor.get(), &status) != 0) return file_error(path, errno);
  if (status.st_size != 0 && static_cast<std::size_t>(status.st_size) != size) {
    return fail(ErrorKind::kDataLoss, "file_size_changed", "a mapped file has another size than it was made with")
        .at(path)
        .expected(std::to_string(size))
        .found(std::to_string(status.st_size));
  }
  const int reserved = posix_fallocate(descriptor.get(), 0, static_cast<off_t>(size));
  if (reserved != 0) return file_error(path, reserved);
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.get(), 0);
  if (memory == MAP_FAILED) return file_error(path, errno);
  return std::unique_ptr<MappedFile>(new MappedFile(static_cast<std::uint8_t*>(memory), size));  // NOLINT: private
}

std::unique_ptr<MappedFile> MappedFile::anonymous(std::size_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  WARY_CHECK(memory != MAP_FAILED);
  return std::unique_ptr<MappedFile>(new MappedFile(static_cast<std::uint8_t*>(memory), size));  // NOLINT: private
}

MappedFile::~MappedFile() { munmap(memory_, size_); }

}  // namespace wary::io
