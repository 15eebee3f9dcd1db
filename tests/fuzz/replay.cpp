// Replays stored inputs of a fuzz target: the program that the normal tests run, where there is no libFuzzer.
//
//   views_fuzz_replay <file or folder>...
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  std::vector<fs::path> files;
  for (int n = 1; n < argc; ++n) {
    if (!fs::is_directory(argv[n])) {
      files.emplace_back(argv[n]);
      continue;
    }
    for (const fs::directory_entry& entry : fs::directory_iterator(argv[n])) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    std::fprintf(stderr, "there are no inputs to replay\n");
    return 1;
  }
  for (const fs::path& path : files) {
    std::ifstream file(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (!file) {
      std::fprintf(stderr, "cannot read %s\n", path.c_str());
      return 1;
    }
    std::fprintf(stderr, "%s\n", path.c_str());  // what comes before a crash
    const auto size = bytes.size();
    const std::unique_ptr<std::uint8_t[]> copy(new std::uint8_t[size]);  // not a byte more
    std::copy(bytes.begin(), bytes.end(), copy.get());
    LLVMFuzzerTestOneInput(copy.get(), size);
  }
  std::printf("%zu inputs replayed\n", files.size());
}
