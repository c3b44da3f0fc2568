#include "store/vfs.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>

namespace wary::store {

struct Vfs::Impl {
  Impl(io::Files& f, std::string d, Clock& c) : files(f), directory(std::move(d)), clock(c) {}
  io::Files& files;
  std::string directory;
  Clock& clock;
  std::string name;
  sqlite3_vfs vfs{};
  bool failed = false;
  std::uint64_t random_state = 0;
};

namespace {

struct OpenFile {
  Vfs::Impl& owner;
  std::unique_ptr<io::File> file;
  std::string path;
  bool created;  // its name is not durable yet
  bool delete_on_close;
};

// What SQLite allocates for us: its base class first, then our pointer.
struct Handle {
  sqlite3_file base;
  OpenFile* open;  // owned: made in x_open, destroyed in x_close
};

OpenFile& open_of(sqlite3_file* file) { return *reinterpret_cast<Handle*>(file)->open; }
Vfs::Impl& impl_of(sqlite3_vfs* vfs) { return *static_cast<Vfs::Impl*>(vfs->pAppData); }

int failed(Vfs::Impl& impl, const Error& error, int code) {
  if (error.code == "file_no_space") return SQLITE_FULL;
  impl.failed = true;
  return code;
}

int x_close(sqlite3_file* file) {
  auto* handle = reinterpret_cast<Handle*>(file);
  const std::unique_ptr<OpenFile> open(handle->open);
  handle->open = nullptr;
  if (open->delete_on_close && !open->owner.files.remove(open->path).ok()) return SQLITE_IOERR_DELETE;
  return SQLITE_OK;
}

int x_read(sqlite3_file* file, void* out, int size, sqlite3_int64 offset) {
  const auto wanted = static_cast<std::size_t>(size);
  auto* bytes = static_cast<std::uint8_t*>(out);
  const Result<std::size_t> got = open_of(file).file->read_at(static_cast<std::uint64_t>(offset), {bytes, wanted});
  if (!got.ok()) return SQLITE_IOERR_READ;
  if (*got == wanted) return SQLITE_OK;
  std::memset(bytes + *got, 0, wanted - *got);  // SQLite asks for zeros beyond the end
  return SQLITE_IOERR_SHORT_READ;
}

int x_write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  OpenFile& open = open_of(file);
  const ByteView bytes(static_cast<const std::uint8_t*>(data), static_cast<std::size_t>(size));
  const Status status = open.file->write_at(static_cast<std::uint64_t>(offset), bytes);
  return status.ok() ? SQLITE_OK : failed(open.owner, status.error(), SQLITE_IOERR_WRITE);
}

int x_truncate(sqlite3_file* file, sqlite3_int64 size) {
  OpenFile& open = open_of(file);
  const Status status = open.file->truncate(static_cast<std::uint64_t>(size));
  return status.ok() ? SQLITE_OK : failed(open.owner, status.error(), SQLITE_IOERR_TRUNCATE);
}

int x_sync(sqlite3_file* file, int) {
  OpenFile& open = open_of(file);
  Status status = open.file->sync();
  if (status.ok() && open.created) {
    status = open.owner.files.sync_directory(open.owner.directory);
    open.created = !status.ok();
  }
  if (status.ok()) return SQLITE_OK;
  open.owner.failed = true;
  return SQLITE_IOERR_FSYNC;
}

int x_file_size(sqlite3_file* file, sqlite3_int64* size) {
  const Result<std::uint64_t> got = open_of(file).file->size();
  if (!got.ok()) return SQLITE_IOERR_FSTAT;
  *size = static_cast<sqlite3_int64>(*got);
  return SQLITE_OK;
}

int x_lock(sqlite3_file*, int) { return SQLITE_OK; }
int x_check_reserved_lock(sqlite3_file*, int* out) {
  *out = 0;
  return SQLITE_OK;
}
int x_file_control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int x_sector_size(sqlite3_file*) { return 4096; }
// None of the promises a disk may make: a power cut may tear a write, and harm what lies beside it in its sector.
int x_device_characteristics(sqlite3_file*) { return 0; }

const sqlite3_io_methods kMethods = {1,
                                     x_close,
                                     x_read,
                                     x_write,
                                     x_truncate,
                                     x_sync,
                                     x_file_size,
                                     x_lock,
                                     x_lock,
                                     x_check_reserved_lock,
                                     x_file_control,
                                     x_sector_size,
                                     x_device_characteristics,
                                     nullptr,
                                     nullptr,
                                     nullptr,
                                     nullptr,
                                     nullptr,
                                     nullptr};

int x_open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  auto* handle = reinterpret_cast<Handle*>(file);
  handle->base.pMethods = nullptr;
  if (name == nullptr) return SQLITE_CANTOPEN;  // temporary files: temp_store is memory
  Vfs::Impl& impl = impl_of(vfs);
  const bool created = !impl.files.status(name).ok();
  const io::OpenMode mode = (flags & SQLITE_OPEN_CREATE) != 0      ? io::OpenMode::kCreate
                            : (flags & SQLITE_OPEN_READWRITE) != 0 ? io::OpenMode::kReadWrite
                                                                   : io::OpenMode::kRead;
  Result<std::unique_ptr<io::File>> opened = impl.files.open(name, mode);
  if (!opened.ok()) return SQLITE_CANTOPEN;
  auto open = std::make_unique<OpenFile>(
      OpenFile{impl, *std::move(opened), name, created, (flags & SQLITE_OPEN_DELETEONCLOSE) != 0});
  handle->open = open.release();
  handle->base.pMethods = &kMethods;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int x_delete(sqlite3_vfs* vfs, const char* name, int sync_directory) {
  Vfs::Impl& impl = impl_of(vfs);
  const Status removed = impl.files.remove(name);
  if (!removed.ok()) return removed.error().code == "file_not_found" ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
  if (sync_directory != 0 && !impl.files.sync_directory(impl.directory).ok()) {
    impl.failed = true;
    return SQLITE_IOERR_DIR_FSYNC;
  }
  return SQLITE_OK;
}

int x_access(sqlite3_vfs* vfs, const char* name, int, int* out) {
  const Result<io::FileStatus> status = impl_of(vfs).files.status(name);
  *out = status.ok() && status->size > 0 ? 1 : 0;
  return SQLITE_OK;
}

int x_full_pathname(sqlite3_vfs*, const char* name, int size, char* out) {
  const std::size_t length = std::strlen(name);
  if (length >= static_cast<std::size_t>(size)) return SQLITE_CANTOPEN;
  std::copy_n(name, length + 1, out);
  return SQLITE_OK;
}

// Salts of the write-ahead log: they must differ from those before, not be secret (SplitMix64).
int x_randomness(sqlite3_vfs* vfs, int size, char* out) {
  Vfs::Impl& impl = impl_of(vfs);
  for (int i = 0; i < size; ++i) {
    impl.random_state += 0x9e3779b97f4a7c15;
    std::uint64_t value = impl.random_state;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    out[i] = static_cast<char>(value >> 56);
  }
  return size;
}

int x_sleep(sqlite3_vfs*, int) { return 0; }

int x_current_time(sqlite3_vfs* vfs, sqlite3_int64* out) {
  constexpr std::int64_t kJulianOfUnixEpochMs = 210866760000000;
  *out = kJulianOfUnixEpochMs + impl_of(vfs).clock.unix_time().nanos / kNanosPerMilli;
  return SQLITE_OK;
}

}  // namespace

Vfs::Vfs(io::Files& files, std::string directory, Clock& clock)
    : impl_(std::make_unique<Impl>(files, std::move(directory), clock)) {
  impl_->name = "wary-" + std::to_string(reinterpret_cast<std::uintptr_t>(impl_.get()));
  impl_->random_state = static_cast<std::uint64_t>(clock.unix_time().nanos);
  sqlite3_vfs& vfs = impl_->vfs;
  vfs.iVersion = 2;
  vfs.szOsFile = sizeof(Handle);
  vfs.mxPathname = 1024;
  vfs.zName = impl_->name.c_str();
  vfs.pAppData = impl_.get();
  vfs.xOpen = x_open;
  vfs.xDelete = x_delete;
  vfs.xAccess = x_access;
  vfs.xFullPathname = x_full_pathname;
  vfs.xRandomness = x_randomness;
  vfs.xSleep = x_sleep;
  vfs.xCurrentTimeInt64 = x_current_time;
  WARY_CHECK(sqlite3_vfs_register(&vfs, 0) == SQLITE_OK);
}

Vfs::~Vfs() { sqlite3_vfs_unregister(&impl_->vfs); }

const std::string& Vfs::name() const { return impl_->name; }
bool Vfs::has_failed() const { return impl_->failed; }

}  // namespace wary::store
