// The real file system (see files.h). A handle is an fd that no child inherits and that never came through a symbolic
// link in the last component; the folders above are the caller's own.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "io/descriptor.h"
#include "io/placed_memory.h"
#include "io/system.h"

namespace wary::io {

namespace {

Error file_error(int number, std::string_view what, std::string_view path) {
  struct Row {
    int number;
    ErrorKind kind;
    std::string_view code;
  };
  static constexpr std::array<Row, 10> kRows = {{
      {ENOENT, ErrorKind::kNotFound, "file_not_found"},
      {ENOTDIR, ErrorKind::kNotFound, "file_not_found"},
      {EEXIST, ErrorKind::kConflict, "file_exists"},
      {ENOSPC, ErrorKind::kExhausted, "file_no_space"},
      {EDQUOT, ErrorKind::kExhausted, "file_no_space"},
      {EFBIG, ErrorKind::kExhausted, "file_no_space"},
      {EACCES, ErrorKind::kDenied, "file_permission"},
      {EPERM, ErrorKind::kDenied, "file_permission"},
      {EROFS, ErrorKind::kDenied, "file_permission"},
      {ELOOP, ErrorKind::kDenied, "file_permission"},
  }};
  const auto row = std::ranges::find(kRows, number, &Row::number);
  const bool known = row != kRows.end();
  std::array<char, 128> text{};
  // The GNU form returns the text; it is thread-safe, unlike strerror.
  const char* reason = strerror_r(number, text.data(), text.size());
  return fail(known ? row->kind : ErrorKind::kUnavailable, known ? row->code : "file_io",
              std::string(what) + ": " + reason)
      .at(std::string(path));
}

FileStatus status_of(const struct stat& from) {
  return {{static_cast<std::uint64_t>(from.st_dev), static_cast<std::uint64_t>(from.st_ino)},
          static_cast<std::uint64_t>(from.st_size),
          S_ISDIR(from.st_mode)};
}

// open(2) wants a terminated name without inner zero bytes; anything else names no file.
Result<std::string> checked_path(std::string_view path) {
  if (path.empty() || path.size() >= PATH_MAX || path.find('\0') != std::string_view::npos) {
    return fail(ErrorKind::kInvalid, "file_not_found", "the path is empty, too long or holds a zero byte");
  }
  return std::string(path);
}

class RealFile final : public File {
 public:
  RealFile(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) override {
    std::size_t done = 0;
    while (done < out.size()) {
      const ssize_t n = ::pread(fd_.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return file_error(errno, "read", path_);
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

  Status write_at(std::uint64_t offset, ByteView bytes) override {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n =
          ::pwrite(fd_.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return file_error(errno, "write", path_);
      done += static_cast<std::size_t>(n);
    }
    return {};
  }

  Status truncate(std::uint64_t size) override {
    while (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
      if (errno != EINTR) return file_error(errno, "truncate", path_);
    }
    return {};
  }

  Status sync() override {
    // Not repeated on error: the kernel may have dropped the dirty pages, and a second call would then lie.
    if (::fdatasync(fd_.get()) != 0) return file_error(errno, "sync", path_);
    return {};
  }

  Status reserve(std::uint64_t size) override {
    WARY_ASSIGN_OR_RETURN(const std::uint64_t present, this->size());
    if (present >= size) return {};
    while (::fallocate(fd_.get(), 0, 0, static_cast<off_t>(size)) != 0) {
      if (errno == EINTR) continue;
      // A file system without fallocate grows the size only; its full disk then shows at the write.
      if (errno == EOPNOTSUPP) return truncate(size);
      return file_error(errno, "reserve", path_);
    }
    return {};
  }

  Result<std::uint64_t> size() override {
    WARY_ASSIGN_OR_RETURN(const FileStatus now, status());
    return now.size;
  }

  Result<FileStatus> status() override {
    struct stat now{};
    if (::fstat(fd_.get(), &now) != 0) return file_error(errno, "status", path_);
    return status_of(now);
  }

  Status lock() override {
    // Open-file-description locks belong to the handle: another handle of this very process is refused too.
    struct flock range{};
    range.l_type = F_WRLCK;
    range.l_whence = SEEK_SET;
    if (::fcntl(fd_.get(), F_OFD_SETLK, &range) == 0) return {};
    if (errno == EAGAIN || errno == EACCES) {
      return fail(ErrorKind::kConflict, "file_locked", "another process holds this file").at(path_);
    }
    return file_error(errno, "lock", path_);
  }

  Result<std::unique_ptr<PlacedMemory>> place(const Placement& where) override {
    auto placed = PlacedMemory::of_descriptor(fd_.get(), where);
    if (!placed.ok()) placed.error().at(path_);
    return placed;
  }

 private:
  Descriptor fd_;
  std::string path_;
};

class RealFiles final : public Files {
 public:
  Result<std::unique_ptr<File>> open(std::string_view path, OpenMode mode) override {
    WARY_ASSIGN_OR_RETURN(std::string name, checked_path(path));
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
    switch (mode) {
      // Not waiting: a FIFO put in a file's place must not hang the process.
      case OpenMode::kRead: flags |= O_RDONLY | O_NONBLOCK; break;
      case OpenMode::kReadWrite: flags |= O_RDWR; break;
      case OpenMode::kCreate: flags |= O_RDWR | O_CREAT; break;
      case OpenMode::kCreateNew: flags |= O_RDWR | O_CREAT | O_EXCL; break;
    }
    int fd = -1;
    do {
      fd = ::openat(AT_FDCWD, name.c_str(), flags, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) return file_error(errno, "open", path);
    return std::unique_ptr<File>(std::make_unique<RealFile>(Descriptor(fd), std::move(name)));
  }

  Result<FileStatus> status(std::string_view path) override {
    WARY_ASSIGN_OR_RETURN(const std::string name, checked_path(path));
    struct stat now{};
    if (::fstatat(AT_FDCWD, name.c_str(), &now, AT_SYMLINK_NOFOLLOW) != 0) return file_error(errno, "status", path);
    return status_of(now);
  }

  Status rename(std::string_view from, std::string_view to) override {
    WARY_ASSIGN_OR_RETURN(const std::string old_name, checked_path(from));
    WARY_ASSIGN_OR_RETURN(const std::string new_name, checked_path(to));
    if (::renameat(AT_FDCWD, old_name.c_str(), AT_FDCWD, new_name.c_str()) != 0) {
      return file_error(errno, "rename", from);
    }
    return {};
  }

  Status remove(std::string_view path) override {
    WARY_ASSIGN_OR_RETURN(const std::string name, checked_path(path));
    if (::unlinkat(AT_FDCWD, name.c_str(), 0) == 0) return {};
    if (errno == EISDIR && ::unlinkat(AT_FDCWD, name.c_str(), AT_REMOVEDIR) == 0) return {};
    return file_error(errno, "remove", path);
  }

  Status make_directory(std::string_view path) override {
    WARY_ASSIGN_OR_RETURN(const std::string name, checked_path(path));
    if (::mkdirat(AT_FDCWD, name.c_str(), 0700) == 0) return {};
    const int number = errno;
    if (number == EEXIST) {
      WARY_ASSIGN_OR_RETURN(const FileStatus now, status(path));
      if (now.is_directory) return {};
    }
    return file_error(number, "make directory", path);
  }

  Result<std::vector<std::string>> list(std::string_view path) override {
    WARY_ASSIGN_OR_RETURN(const std::string name, checked_path(path));
    DIR* directory = ::opendir(name.c_str());
    if (directory == nullptr) return file_error(errno, "list", path);
    const std::unique_ptr<DIR, int (*)(DIR*)> closer(directory, ::closedir);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(directory)) {
      const std::string_view found = entry->d_name;
      if (found != "." && found != "..") names.emplace_back(found);
    }
    if (errno != 0) return file_error(errno, "list", path);
    std::ranges::sort(names);
    return names;
  }

  Status sync_directory(std::string_view path) override {
    WARY_ASSIGN_OR_RETURN(const std::string name, checked_path(path));
    const Descriptor fd(::openat(AT_FDCWD, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0) return file_error(errno, "open directory", path);
    if (::fsync(fd.get()) != 0) return file_error(errno, "sync directory", path);
    return {};
  }

  Result<std::uint64_t> free_bytes(std::string_view path) override {
    WARY_ASSIGN_OR_RETURN(const std::string name, checked_path(path));
    struct statvfs now{};
    if (::statvfs(name.c_str(), &now) != 0) return file_error(errno, "free space", path);
    return std::uint64_t{now.f_bavail} * std::uint64_t{now.f_frsize};
  }
};

}  // namespace

std::unique_ptr<Files> make_real_files() { return std::make_unique<RealFiles>(); }

}  // namespace wary::io
