// The trainer as a program: killed and resumed, and given what it must refuse.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/process.hpp"
#include "support/temporary_folder.hpp"

namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

/// A process of the trainer that can be waited for, or killed.
class Process : public rotary::testing::Process {
 public:
  Process(const std::vector<std::string>& arguments, const fs::path& output)
      : rotary::testing::Process(command(arguments), output) {}

 private:
  static std::vector<std::string> command(const std::vector<std::string>& arguments) {
    std::vector<std::string> all{ROTARY_TRAIN_BINARY};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }
};

class TrainTransformer : public testing::Test {
 protected:
  TrainTransformer() {
    std::ofstream text(folder_ / "text.txt");
    for (int i = 0; i < 400; ++i) text << "It is " << i * i % 97 << " o'clock.\n";
  }

  struct Outcome {
    int code;
    std::string output;
  };

  fs::path path(const std::string& name) const { return folder_ / name; }

  Outcome run(const std::vector<std::string>& arguments) const {
    Process process(arguments, path("output.txt"));
    const int code = process.wait();
    return {code, read(path("output.txt"))};
  }

  /// The options of a run small enough for a test, on the text.
  std::vector<std::string> small(const std::string& out, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all{"--text",
                                 path("text.txt").string(),
                                 "--out",
                                 path(out).string(),
                                 "--seq-len",
                                 "16",
                                 "--batch",
                                 "4",
                                 "--layers",
                                 "2",
                                 "--d-model",
                                 "16",
                                 "--heads",
                                 "2",
                                 "--d-ff",
                                 "32",
                                 "--dropout",
                                 "0.1",
                                 "--warmup",
                                 "20",
                                 "--steps",
                                 "120",
                                 "--validate-every",
                                 "10",
                                 "--checkpoint-every",
                                 "7",
                                 "--sample-length",
                                 "5"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  /// Every file of a folder, with its contents.
  std::string everything_in(const std::string& name) const {
    std::string all;
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(path(name))) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) all += file.string() + "\n" + read(file);
    return all;
  }

  void expect_refused(const std::vector<std::string>& arguments, const std::string& part) const {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 1) << outcome.output;
    EXPECT_NE(outcome.output.find(part), std::string::npos) << outcome.output << "\nlacks: " << part;
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
  }

  rotary::testing::TemporaryFolder folder_;
};

TEST_F(TrainTransformer, KilledAtAnyMomentItGoesOnToTheSameNumbers) {
  const Outcome whole = run(small("whole"));
  ASSERT_EQ(whole.code, 0) << whole.output;
  const std::string losses = read(path("whole") / "loss.csv");
  ASSERT_EQ(std::count(losses.begin(), losses.end(), '\n'), 121) << losses;

  // Killed again and again, each time a little later; it gets through when it runs for long enough.
  int kills = 0, code = 1;
  for (auto patience = std::chrono::milliseconds(20); code != 0; patience += patience / 3) {
    const bool resume = fs::exists(path("killed") / "checkpoint.safetensors");
    Process process(
        resume ? std::vector<std::string>{"--resume", "--out", path("killed").string()} : small("killed"),
        path("output.txt"));
    const auto end = std::chrono::steady_clock::now() + patience;
    while (process.running() && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (process.running()) {
      process.kill();
      ++kills;
    } else {
      code = process.wait();
      ASSERT_EQ(code, 0) << read(path("output.txt"));
    }
  }
  EXPECT_GT(kills, 0);
  EXPECT_EQ(read(path("killed") / "loss.csv"), losses);
  EXPECT_EQ(read(path("killed") / "checkpoint.safetensors"), read(path("whole") / "checkpoint.safetensors"));
}

TEST_F(TrainTransformer, AShortRunGoesOnToALongerOneWithOtherThreads) {
  ASSERT_EQ(run(small("whole", {"--threads", "1"})).code, 0);
  ASSERT_EQ(run(small("parts", {"--threads", "3", "--steps", "33"})).code, 0);
  const Outcome resumed =
      run({"--resume", "--out", path("parts").string(), "--steps", "120", "--threads", "2"});
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_EQ(read(path("parts") / "loss.csv"), read(path("whole") / "loss.csv"));
}

TEST_F(TrainTransformer, LearnsToAddWithoutAText) {
  const Outcome outcome =
      run({"--out", path("out").string(), "--layers", "1", "--d-model", "16", "--heads", "2", "--d-ff", "32",
           "--digits", "1", "--steps", "3", "--validate-every", "2"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.output.find("exact answers"), std::string::npos) << outcome.output;
  EXPECT_EQ(outcome.output.find('\r'), std::string::npos) << "a bar belongs on a terminal only";
  EXPECT_TRUE(fs::exists(path("out") / "checkpoint.safetensors"));
}

TEST_F(TrainTransformer, DrawsWithGnuplotOrSaysThatItCannot) {
  const std::vector<std::string> arguments = small("out", {"--steps", "3"});
  const std::string path_before = std::getenv("PATH");
  ::setenv("PATH", (folder_ / "").c_str(), 1);  // nothing is there
  const Outcome without = run(arguments);
  std::ofstream(path("gnuplot")) << "#!/bin/sh\n: > '" << (path("out") / "curves.png").string() << "'\n";
  fs::permissions(path("gnuplot"), fs::perms::owner_all);
  const Outcome with = run(arguments);
  ::setenv("PATH", path_before.c_str(), 1);
  EXPECT_EQ(without.code, 0);
  EXPECT_NE(without.output.find("none: there is no gnuplot"), std::string::npos) << without.output;
  EXPECT_EQ(with.code, 0);
  EXPECT_NE(with.output.find("picture     " + (path("out") / "curves.png").string()), std::string::npos)
      << with.output;
}

TEST_F(TrainTransformer, ShowsABarOnATerminal) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0) return;  // a bare chroot has no pseudo-terminals
  ASSERT_EQ(::grantpt(terminal), 0);
  ASSERT_EQ(::unlockpt(terminal), 0);
  std::string shown;
  int code = 1;
  {
    Process process(small("out"), ::ptsname(terminal));
    char buffer[4096];
    for (;;) {  // ends with an error when the program has closed its side
      const ssize_t count = ::read(terminal, buffer, sizeof buffer);
      if (count <= 0) break;
      shown.append(buffer, static_cast<std::size_t>(count));
    }
    code = process.wait();
  }
  ::close(terminal);
  EXPECT_EQ(code, 0) << shown;
  for (const char* part : {"\r", "█", "░", "loss ", "tokens/s", " left", "validation: loss"})
    EXPECT_NE(shown.find(part), std::string::npos) << shown << "\nlacks: " << part;
}

TEST_F(TrainTransformer, RefusesTextsThatAreNone) {
  const auto with_text = [&](const std::string& text) {
    return std::vector<std::string>{"--text", path(text).string(), "--out", path("out").string()};
  };
  std::ofstream(path("empty.txt")).flush();
  std::ofstream(path("latin.txt")) << "caf\xE9";
  std::ofstream(path("short.txt")) << "It is short.";
  expect_refused(with_text("none.txt"), path("none.txt").string() + ": there is no such file");
  expect_refused(with_text("empty.txt"), path("empty.txt").string() + ": is empty");
  expect_refused(with_text("latin.txt"), path("latin.txt").string() + ": byte 0xE9 at offset 3 is not UTF-8");
  expect_refused(with_text("short.txt"), path("short.txt").string() + ": has 12 characters");
  EXPECT_FALSE(fs::exists(path("out")));
}

TEST_F(TrainTransformer, RefusesOptionsThatMakeNoSense) {
  expect_refused(small("out", {"--prompt", "It is ü"}), "--prompt: the character 'ü' (U+00FC) is not among");
  expect_refused(small("out", {"--prompt", ""}), "--prompt is empty");
  expect_refused(small("out", {"--positions", "learned"}),
                 "--positions is \"learned\", wanted rotary, rotary_value, xpos, sinusoidal or none");
  expect_refused({"--heads", "3", "--out", path("out").string()},
                 "--d-model 128 does not divide into --heads 3");
  expect_refused({"--seq-len", "9", "--out", path("out").string()}, "--seq-len goes with --text");
  EXPECT_EQ(run(small("out", {"--steps", "many"})).code, 1);
  EXPECT_EQ(run(small("out", {"--no-such-option"})).code, 1);
  expect_refused({"--demo", "--layers", "3"}, "--layers does not go with --demo");
  EXPECT_EQ(run({"--help"}).code, 0);
  EXPECT_FALSE(fs::exists(path("out")));
}

TEST_F(TrainTransformer, RefusesDamagedCheckpointsAndLeavesThemAlone) {
  const std::vector<std::string> resume{"--resume", "--out", path("out").string()};
  const fs::path checkpoint = path("out") / "checkpoint.safetensors";
  expect_refused(resume, checkpoint.string() + ": there is no checkpoint to resume from");
  EXPECT_FALSE(fs::exists(path("out")));

  ASSERT_EQ(run(small("out", {"--steps", "5"})).code, 0);
  const std::string good = read(checkpoint);
  const auto damaged = [&](const std::string& bytes, const std::string& part) {
    std::ofstream(checkpoint, std::ios::binary) << bytes;
    const std::string before = everything_in("out");
    expect_refused(resume, checkpoint.string() + ": " + part);
    EXPECT_EQ(everything_in("out"), before);
  };
  damaged("", "has 0 bytes, too few");
  damaged(good.substr(0, 100), "says that its header has");
  damaged(good.substr(0, good.size() / 2), "tensor ");
  damaged(good.substr(0, 8) + "x" + good.substr(9), "has a header that is not JSON");
  damaged(std::string(8, '\x7F') + good.substr(8), "says that its header has 9187201950435737471 bytes");
  const auto change = [&](const std::string& from, const std::string& to) {
    std::string bytes = good;
    return bytes.replace(bytes.find(from), from.size(), to);
  };
  damaged(change("\"shape\":[16,32]", "\"shape\":[32,16]"), "tensor ");
  damaged(change("\"shape\":[16,32]", "\"shape\":[NaN,1]"), "has a header that is not JSON");
  std::string flipped = good;
  flipped[good.size() - 3] = static_cast<char>(flipped[good.size() - 3] ^ 1);
  damaged(flipped, "is damaged: its checksum");

  std::ofstream(checkpoint, std::ios::binary) << good;
  std::vector<std::string> other = resume;
  other.insert(other.end(), {"--d-model", "32"});
  expect_refused(other, "--d-model is 32, but the checkpoint was trained with 16");
  std::ofstream(path("text.txt"), std::ios::app) << "more";
  expect_refused(resume, "was trained on other data");
  EXPECT_EQ(read(checkpoint), good);
}

/// The number after "validation loss" in the last line.
double loss_in(const std::string& output) {
  const std::string words = "validation loss ";
  const std::size_t place = output.rfind(words);
  return place == std::string::npos ? -1 : std::stod(output.substr(place + words.size()));
}

// Each kind of positions is trained, named by its checkpoint, resumed and validated.
TEST_F(TrainTransformer, TrainsWithEveryKindOfPositions) {
  std::set<double> losses;
  for (const std::string positions : {"rotary", "rotary_value", "xpos", "sinusoidal", "none"}) {
    const Outcome trained = run(small(positions, {"--positions", positions, "--steps", "20"}));
    ASSERT_EQ(trained.code, 0) << trained.output;
    EXPECT_NE(trained.output.find("positions " + positions + ": validation"), std::string::npos);
    const Outcome resumed = run({"--resume", "--out", path(positions).string(), "--steps", "25"});
    ASSERT_EQ(resumed.code, 0) << resumed.output;
    EXPECT_NE(resumed.output.find("Going on after step 20 of 25"), std::string::npos) << resumed.output;
    EXPECT_NE(resumed.output.find(positions + " positions, "), std::string::npos) << resumed.output;

    const Outcome evaluated = run({"--evaluate", "--out", path(positions).string()});
    ASSERT_EQ(evaluated.code, 0) << evaluated.output;
    EXPECT_NE(evaluated.output.find("positions " + positions + ": validation loss"), std::string::npos);
    const std::string last = "validation loss ";  // of the training, over the same sequences
    EXPECT_NEAR(loss_in(evaluated.output),
                std::stod(resumed.output.substr(resumed.output.rfind("validation loss ") + last.size())),
                1e-4);
    losses.insert(loss_in(evaluated.output));
  }
  EXPECT_EQ(losses.size(), 5u);
}

TEST_F(TrainTransformer, EvaluatesAtAnotherLengthWithRescaledFrequencies) {
  // A head of 16 features, so that YaRN's rescaling of a context of 16 tokens has pairs to rescale.
  ASSERT_EQ(run(small("out", {"--steps", "60", "--heads", "1"})).code, 0);
  const std::string before = everything_in("out");
  std::map<std::string, double> losses;
  for (const std::string rescale : {"none", "interpolate", "ntk", "yarn"}) {
    const Outcome outcome =
        run({"--evaluate", "--out", path("out").string(), "--seq-len", "64", "--rescale", rescale});
    ASSERT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_NE(outcome.output.find("| 1 to 16 | "), std::string::npos) << outcome.output;
    EXPECT_NE(outcome.output.find("| 49 to 64 | "), std::string::npos) << outcome.output;
    EXPECT_NE(outcome.output.find(" at 64 tokens (step 60, "), std::string::npos) << outcome.output;
    EXPECT_EQ(outcome.output.find(rescale + " by 4") != std::string::npos, rescale != "none");
    losses[rescale] = loss_in(outcome.output);
  }
  EXPECT_EQ(everything_in("out"), before);
  std::set<double> different;
  for (const auto& [rescale, loss] : losses) different.insert(loss);
  EXPECT_EQ(different.size(), 4u);
  // Factor 1 changes no frequency.
  for (const std::string rescale : {"interpolate", "ntk", "yarn"})
    EXPECT_EQ(loss_in(run({"--evaluate", "--out", path("out").string(), "--seq-len", "64", "--rescale",
                           rescale, "--factor", "1"})
                          .output),
              losses["none"]);
}

TEST_F(TrainTransformer, RefusesToEvaluateWhatIsNotThere) {
  const std::vector<std::string> evaluate{"--evaluate", "--out", path("out").string()};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = evaluate;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  expect_refused(evaluate, "there is no checkpoint");
  ASSERT_EQ(run(small("out", {"--steps", "1", "--positions", "none"})).code, 0);
  expect_refused(with({"--rescale", "yarn"}),
                 "--rescale goes with rotary positions, but the checkpoint was trained with none");
  expect_refused(with({"--rescale", "more"}), "--rescale is \"more\", wanted none, interpolate, ntk or yarn");
  expect_refused(with({"--factor", "2"}), "--factor goes with --rescale");
  expect_refused(with({"--layers", "3"}), "--layers does not go with --evaluate");
  expect_refused(with({"--resume"}), "--resume and --evaluate do not go together");
  expect_refused(with({"--seq-len", "4000"}), "--seq-len");
  expect_refused(small("other", {"--rescale", "ntk"}), "--rescale and --factor go with --evaluate");
  EXPECT_FALSE(fs::exists(path("other")));
}

TEST_F(TrainTransformer, KeepsTheCheckpointOfTheRunBefore) {
  ASSERT_EQ(run(small("out", {"--steps", "2"})).code, 0);
  const std::string before = read(path("out") / "checkpoint.safetensors");
  ASSERT_EQ(run(small("out", {"--steps", "2", "--seed", "2"})).code, 0);
  EXPECT_EQ(read(path("out") / "checkpoint.previous.safetensors"), before);
  EXPECT_NE(read(path("out") / "checkpoint.safetensors"), before);
}

}  // namespace
