// Reading a file whole, and writing one so that a kill at any moment leaves the old or the new contents.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace train {

/// What went wrong with a file: its name, then the reason.
struct FileError : std::runtime_error {
  FileError(const std::filesystem::path& path, const std::string& reason)
      : std::runtime_error(path.string() + ": " + reason) {}
};

namespace detail {

/// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags)
      : path_(path), number_(::open(path.c_str(), flags, 0644)) {
    if (number_ < 0) fail("open");
  }
  ~Descriptor() { ::close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(number_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("write");
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  std::string read_all() {
    std::string contents;
    char buffer[1 << 16];
    for (;;) {
      const ssize_t count = ::read(number_, buffer, sizeof buffer);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail("read");
      if (count == 0) return contents;
      contents.append(buffer, static_cast<std::size_t>(count));
    }
  }

  void sync() {
    if (::fsync(number_) != 0) fail("sync");
  }

 private:
  [[noreturn]] void fail(const char* doing) const {
    throw FileError(path_, std::string("cannot ") + doing + " it: " + std::strerror(errno));
  }

  std::filesystem::path path_;
  int number_;
};

}  // namespace detail

/// The bytes of a file; throws FileError.
inline std::string read_file(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) throw FileError(path, "is a directory, not a file");
  return detail::Descriptor(path, O_RDONLY | O_CLOEXEC).read_all();
}

/// Writes a file of the given pieces; throws FileError.
///
/// The pieces are written to a temporary file in the same folder, which is synced to disk and then renamed. A
/// rename is atomic: `path` has the old contents or the new, never a part, also after a kill or a loss of
/// power.
inline void write_file_atomically(const std::filesystem::path& path,
                                  const std::vector<std::string_view>& pieces) {
  const std::filesystem::path temporary = path.string() + ".part";
  std::error_code error;
  try {
    detail::Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
    for (const std::string_view piece : pieces) file.write(piece);
    file.sync();
  } catch (const FileError&) {
    std::filesystem::remove(temporary, error);  // of a full disk, a part is no use
    throw;
  }
  std::filesystem::rename(temporary, path, error);
  if (error) throw FileError(path, "cannot be replaced: " + error.message());
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  detail::Descriptor(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC).sync();
}

}  // namespace train
