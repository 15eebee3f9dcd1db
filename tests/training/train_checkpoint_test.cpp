// The trainer's checkpoints: the safetensors format, damage of every kind, and resumed runs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "../../examples/train_transformer/addition_task.hpp"
#include "../../examples/train_transformer/checkpoint.hpp"
#include "../../examples/train_transformer/curves.hpp"
#include "../../examples/train_transformer/model_files.hpp"
#include "../../examples/train_transformer/text_task.hpp"
#include "support/errors.hpp"
#include "support/process.hpp"
#include "support/random.hpp"
#include "support/temporary_folder.hpp"

namespace {

using rotary::testing::error_of_call;
using rotary::testing::kNoError;
using Folder = rotary::testing::TemporaryFolder;
using train::Index;
namespace fs = std::filesystem;
namespace safetensors = train::safetensors;

/// A safetensors file with this header and so many bytes of data.
std::string file_of(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header + std::string(data_bytes, '\0');
}

// ---------------------------------------------------------------- the format

TEST(Safetensors, AreTheBytesOfTheFormat) {
  const float numbers[] = {1.0f, -2.0f};
  safetensors::Contents contents;
  contents.metadata["who"] = "me";
  contents.tensors.push_back(safetensors::tensor_of("x", {2, 1}, numbers, 2));
  const std::string text =
      R"({"__metadata__":{"who":"me"},"x":{"data_offsets":[0,8],"dtype":"F32","shape":[2,1]}})";
  const std::string padded = text + std::string((8 - text.size() % 8) % 8, ' ');
  const std::string length{static_cast<char>(padded.size()), 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(safetensors::header_of(contents), length + padded);
}

TEST(Safetensors, GoThereAndBack) {
  rotary::testing::Random random(3);
  SCOPED_TRACE(random.replay());
  std::vector<float> a(12);
  std::vector<double> b(5);
  for (float& value : a) value = static_cast<float>(random.normal());
  for (double& value : b) value = random.normal();
  safetensors::Contents written;
  written.metadata = {{"key", "välue \"quoted\"\n"}, {"empty", ""}};
  written.tensors.push_back(safetensors::tensor_of("b", {5}, b.data(), 5));
  written.tensors.push_back(safetensors::tensor_of("a", {3, 4}, a.data(), 12));
  written.tensors.push_back(safetensors::tensor_of("nothing", {0, 7}, a.data(), 0));
  std::string file = safetensors::header_of(written);
  for (const auto& tensor : written.tensors) file += tensor.bytes;

  const safetensors::Contents read = safetensors::parse(file);
  EXPECT_EQ(read.metadata, written.metadata);
  ASSERT_EQ(read.tensors.size(), 3u);
  for (const auto& tensor : written.tensors) {
    EXPECT_EQ(read.tensor(tensor.name).dtype, tensor.dtype);
    EXPECT_EQ(read.tensor(tensor.name).shape, tensor.shape);
    EXPECT_EQ(read.tensor(tensor.name).bytes, tensor.bytes);
  }
}

TEST(Safetensors, SayWhatIsWrongWithAFile) {
  const auto complaint = [](const std::string& file) {
    return error_of_call<std::exception>([&] { safetensors::parse(file); });
  };
  const auto expect = [&](const std::string& file, const std::string& part) {
    EXPECT_NE(complaint(file).find(part), std::string::npos) << complaint(file) << "\nlacks: " << part;
  };
  const auto entry = [](const std::string& shape, const std::string& offsets) {
    return R"({"x":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  EXPECT_EQ(complaint(file_of(entry("[2]", "[0,8]"), 8)), kNoError);

  expect("", "has 0 bytes, too few");
  expect("1234567", "has 7 bytes, too few");
  expect(std::string(8, '\xFF'), "says that its header has 18446744073709551615 bytes");
  expect(std::string("\0\0\0\0\1\0\0\0{}", 10), "says that its header has 4294967296 bytes");
  expect(file_of(entry("[2]", "[0,8]"), 8).substr(0, 20), "but only 12 follow; is the file cut short?");
  expect(file_of("{\"x\":", 0), "not JSON");
  expect(file_of("", 0), "not JSON");
  expect(file_of("\xFF\xFE", 0), "not JSON");
  expect(file_of("[1]", 0), "no JSON object");
  expect(file_of(R"({"__metadata__":3})", 0), "__metadata__ that is no JSON object");
  expect(file_of(R"({"__metadata__":{"a":3}})", 0), "__metadata__ \"a\" that is no text");
  expect(file_of(R"({"x":3})", 0), "tensor \"x\" lacks");
  expect(file_of(R"({"x":{"dtype":"F32","shape":[2]}})", 8), "tensor \"x\" lacks");
  expect(file_of(R"({"x":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}})", 2),
         "\"I8\"; wanted F64, F32, F16 or BF16");
  for (const char* bad : {"-1", "1.5", "null", "\"2\"", "1e3", "[2]", "18446744073709551616"})
    expect(file_of(entry(std::string("[") + bad + "]", "[0,8]"), 8), "in its shape; wanted a whole number");
  expect(file_of(entry("[NaN]", "[0,8]"), 8), "not JSON");
  expect(file_of(entry("[2]", "[0,NaN]"), 8), "not JSON");
  expect(file_of(entry("[2]", "[0,null]"), 8), "in its data_offsets; wanted a whole number");
  expect(file_of(entry("[2]", "[0]"), 8), "lacks");
  expect(file_of(entry("[2]", "[8,0]"), 8), "lies at bytes 8 to 0");
  expect(file_of(entry("[2]", "[0,8]"), 7), "is the file cut short?");
  expect(file_of(entry("[3]", "[0,8]"), 8), "of shape [3] needs 12 bytes, and has 8");
  expect(file_of(entry("[4294967296,4294967296]", "[0,8]"), 8), "which no memory holds");
  expect(file_of(entry("[2]", "[0,8]"), 9), "has 1 bytes after its last tensor");
  expect(file_of(entry("[2]", "[4,12]"), 12), "a hole or an overlap before the data of tensor \"x\"");
  expect(file_of(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                 R"("y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                 4),
         "a hole or an overlap");
}

// ---------------------------------------------------------------- files

TEST(Files, AreReplacedWholeOrNotAtAll) {
  const Folder folder;
  const fs::path path = folder.write("x", "old");
  train::write_file_atomically(path, {"ne", "w"});
  EXPECT_EQ(train::read_file(path), "new");
  EXPECT_FALSE(fs::exists(folder / "x.part"));

  fs::create_directory(folder / "y.part");  // the temporary file cannot be written: the old one stays
  folder.write("y", "old");
  EXPECT_NE(error_of_call<std::exception>([&] {
              train::write_file_atomically(folder / "y", {"new"});
            }).find("cannot open it"),
            std::string::npos);
  EXPECT_EQ(train::read_file(folder / "y"), "old");
}

// ---------------------------------------------------------------- checkpoints

train::RunOptions small_run() {
  train::RunOptions run;
  run.digits = 1;
  run.batch = 10;
  run.layers = 2;
  run.d_model = 8;
  run.heads = 2;
  run.d_ff = 16;
  run.dropout = 0.1;
  run.warmup = 10;
  run.seed = 5;
  run.steps = 100;
  return run;
}

/// A trainer with all it stands on.
struct Training {
  explicit Training(const train::RunOptions& run, Index threads = 1)
      : task(run.digits), workers(threads), trainer(run, task, workers) {}

  void steps(Index count) {
    for (Index i = 0; i < count; ++i) {
      trainer.train_step();
      if (trainer.steps_done() % 3 == 0) trainer.history().validations.push_back(trainer.validate(50));
    }
  }

  train::AdditionTask task;
  train::Workers workers;
  train::Trainer trainer;
};

void expect_same(Training& a, Training& b) {
  ASSERT_EQ(a.trainer.steps_done(), b.trainer.steps_done());
  EXPECT_EQ(a.trainer.history().training_loss, b.trainer.history().training_loss);
  const auto &va = a.trainer.history().validations, &vb = b.trainer.history().validations;
  ASSERT_EQ(va.size(), vb.size());
  for (std::size_t i = 0; i < va.size(); ++i) {
    EXPECT_EQ(va[i].step, vb[i].step);
    EXPECT_EQ(va[i].loss, vb[i].loss);
    EXPECT_EQ(va[i].exact_answers, vb[i].exact_answers);
  }
  const auto &pa = a.trainer.parameters(), &pb = b.trainer.parameters();
  for (std::size_t i = 0; i < pa.size(); ++i) {
    EXPECT_TRUE((pa[i].values() == pb[i].values()).all()) << pa[i].name;
    EXPECT_TRUE((a.trainer.adam().moments()[i].first == b.trainer.adam().moments()[i].first).all())
        << pa[i].name;
    EXPECT_TRUE((a.trainer.adam().moments()[i].second == b.trainer.adam().moments()[i].second).all())
        << pa[i].name;
  }
}

TEST(Trainer, LearnsAndGivesTheSameNumbersWithAnyThreads) {
  Training one(small_run(), 1), three(small_run(), 3);
  one.steps(8);
  three.steps(8);
  expect_same(one, three);
  one.steps(92);
  const auto& losses = one.trainer.history().training_loss;
  EXPECT_LT(losses.back(), 0.8 * losses.front());
}

TEST(Trainer, SeedsDiffer) {
  train::RunOptions other = small_run();
  other.seed = 6;
  Training a(small_run()), b(other);
  a.steps(1);
  b.steps(1);
  EXPECT_NE(a.trainer.history().training_loss, b.trainer.history().training_loss);
}

TEST(Checkpoint, ARunGoesOnAsIfItHadNeverStopped) {
  const Folder folder;
  Training uninterrupted(small_run());
  uninterrupted.steps(13);

  Training first(small_run());
  first.steps(7);
  train::save_checkpoint(folder / "c", first.trainer);
  const train::Checkpoint checkpoint(folder / "c");
  EXPECT_EQ(nlohmann::json(checkpoint.options()), nlohmann::json(small_run()));
  Training second(checkpoint.options());
  checkpoint.restore(second.trainer);
  expect_same(first, second);
  second.steps(6);
  expect_same(uninterrupted, second);
}

TEST(Checkpoint, OfAnUntouchedRunIsReadBack) {
  const Folder folder;
  Training untouched(small_run()), read(small_run());
  train::save_checkpoint(folder / "c", untouched.trainer);
  train::Checkpoint(folder / "c").restore(read.trainer);
  expect_same(untouched, read);
}

#ifdef ROTARY_GENERATE_BINARY
/// What examples/generate makes of a prompt with the checkpoint of a run, and what the trainer's model makes of the same text.
struct Generated {
  int code = 0;
  std::string output, messages;
  std::string logits;           ///< the file that --logits writes
  std::vector<int> tokens;      ///< of the output
  train::Matrix<float> wanted;  ///< logits of the trainer's model

  Generated(const Folder& folder, train::RunOptions run, const std::string& prompt) {
    Training training(run);
    training.steps(5);
    train::write_model_files(folder / "", run, training.task.tokenizer());
    train::save_checkpoint(folder / "checkpoint.safetensors", training.trainer);
    rotary::testing::Process process({ROTARY_GENERATE_BINARY, (folder / "").string(), "--prompt", prompt,
                                      "--length", "3", "--logits", folder / "logits"},
                                     folder / "output", folder / "messages");
    code = process.wait();
    output = train::read_file(folder / "output");
    messages = train::read_file(folder / "messages");
    if (code != 0) return;
    logits = train::read_file(folder / "logits");

    // The model of the trainer reads the text that was generated; the last character and the line's end were not read.
    tokens = training.task.tokenizer().encode(output.substr(0, output.size() - 1));
    const auto read = static_cast<Index>(tokens.size()) - 1;
    train::Model<float>::Activations activations;
    training.trainer.model().forward({read, 1, {tokens.begin(), tokens.end() - 1}, {}}, activations);
    wanted = activations.logits;
  }
};

TEST(Checkpoint, IsWhatGenerateContinuesATextWith) {
  for (const auto& [positions, percentage] :
       {std::pair{"rotary", 1.0}, std::pair{"rotary", 0.5}, std::pair{"none", 1.0}}) {
    SCOPED_TRACE(positions);
    const Folder folder;
    train::RunOptions run = small_run();
    run.heads = 1;
    run.positions = positions;
    run.rope_percentage = percentage;
    const Generated generated(folder, run, "3+4=");
    ASSERT_EQ(generated.code, 0) << generated.messages;
    const safetensors::Contents contents = safetensors::parse(generated.logits);
    const safetensors::Tensor& tensor = contents.tensor("logits");
    ASSERT_EQ(tensor.shape[0], static_cast<std::uint64_t>(generated.wanted.rows()));
    ASSERT_EQ(tensor.shape[1], static_cast<std::uint64_t>(generated.wanted.cols()));
    for (Index t = 0; t < generated.wanted.rows(); ++t) {
      Index likeliest = 0;
      for (Index i = 0; i < generated.wanted.cols(); ++i) {
        float logit = 0;
        std::memcpy(&logit, tensor.bytes.data() + 4 * (t * generated.wanted.cols() + i), 4);
        // Both are float, and sums of at most 16 products; logits are about 1.
        EXPECT_NEAR(logit, generated.wanted(t, i), 1e-5f);
      }
      generated.wanted.row(t).maxCoeff(&likeliest);
      if (t >= 3) {  // from the end of the prompt on
        EXPECT_EQ(generated.tokens[static_cast<std::size_t>(t) + 1], likeliest);
      }
    }
  }
}

TEST(Checkpoint, IsRefusedByGenerateWithPositionsThatItDoesNotKnow) {
  const Folder folder;
  train::RunOptions run = small_run();
  run.positions = "xpos";
  const Generated generated(folder, run, "3+4=");
  EXPECT_EQ(generated.code, 1);
  EXPECT_NE(generated.messages.find("config.json: positions is \"xpos\", wanted \"rotary\" or \"none\""),
            std::string::npos)
      << generated.messages;
}
#endif

TEST(Curves, AreACsvOfOneRowAStep) {
  Training training(small_run());
  training.steps(4);
  const std::string csv = train::csv_of(training.trainer);
  std::istringstream lines(csv);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "step,learning_rate,training_loss,validation_loss,exact_answers");
  for (int step = 1; step <= 4; ++step) {
    ASSERT_TRUE(std::getline(lines, line));
    EXPECT_EQ(std::count(line.begin(), line.end(), ','), 4);
    EXPECT_EQ(line.rfind(std::to_string(step) + ",", 0), 0u) << line;
    EXPECT_EQ(line.substr(line.size() - 2) == ",,", step != 3) << line;  // validated at step 3 only
  }
  EXPECT_FALSE(std::getline(lines, line));
}

TEST(Progress, WritesNumbersForPeople) {
  EXPECT_EQ(train::thousands(0), "0");
  EXPECT_EQ(train::thousands(999.6), "1,000");
  EXPECT_EQ(train::thousands(1234567), "1,234,567");
  EXPECT_EQ(train::clock_text(59.6), "1:00");
  EXPECT_EQ(train::clock_text(3723), "1:02:03");
}

class DamagedCheckpoint : public testing::Test {
 protected:
  DamagedCheckpoint() {
    Training training(small_run());
    training.steps(3);
    train::save_checkpoint(folder_ / "good", training.trainer);
    good_ = train::read_file(folder_ / "good");
    contents_ = safetensors::parse(good_);
  }

  /// What is said of a file with these bytes.
  std::string complaint(const std::string& bytes) {
    const fs::path path = folder_.write("bad.safetensors", bytes);
    const std::string message = error_of_call<std::exception>([&] {
      const train::Checkpoint checkpoint(path);
      Training training(checkpoint.options());
      checkpoint.restore(training.trainer);
    });
    if (message.rfind(path.string() + ": ", 0) != 0) return "does not name the file: " + message;
    return message.substr(path.string().size() + 2);
  }

  /// A file with other contents, made with as much care as a good one.
  std::string complaint(const std::function<void(safetensors::Contents&)>& change) {
    safetensors::Contents changed = contents_;
    change(changed);
    std::string bytes = safetensors::header_of(changed);
    for (const auto& tensor : changed.tensors) bytes += tensor.bytes;
    return complaint(bytes);
  }

  static safetensors::Tensor& tensor(safetensors::Contents& contents, const std::string& name) {
    return const_cast<safetensors::Tensor&>(contents.tensor(name));
  }

  void expect(const std::string& found, const std::string& part) {
    EXPECT_NE(found.find(part), std::string::npos) << found << "\nlacks: " << part;
  }

  Folder folder_;
  std::string good_;
  safetensors::Contents contents_;
};

TEST_F(DamagedCheckpoint, IsTheGoodOneWithoutDamage) {
  EXPECT_EQ(complaint([](safetensors::Contents&) {}), "does not name the file: " + std::string(kNoError));
}

TEST_F(DamagedCheckpoint, MissingOrCutShortAtAnyPlace) {
  EXPECT_EQ(error_of_call<std::exception>([&] { train::Checkpoint(folder_ / "none"); }),
            (folder_ / "none").string() + ": there is no checkpoint to resume from");
  for (std::size_t size = 0; size < good_.size(); size += 1 + size / 3) {
    const std::string found = complaint(good_.substr(0, size));
    EXPECT_TRUE(found.find("cut short") != std::string::npos || found.find("too few") != std::string::npos)
        << found;
  }
  expect(complaint(good_.substr(0, good_.size() - 1)), "cut short");
  expect(complaint(good_ + "x"), "after its last tensor");
}

TEST_F(DamagedCheckpoint, AnyFlippedBitIsFound) {
  rotary::testing::Random random(9);
  SCOPED_TRACE(random.replay());
  for (int i = 0; i < 300; ++i) {
    std::string bytes = good_;
    // Half of the flips hit the header, which is a small part of the file.
    const std::size_t end = i % 2 == 0 ? bytes.size() : 2000;
    const auto place = random.integer<std::size_t>(0, end - 1);
    bytes[place] = static_cast<char>(bytes[place] ^ (1 << random.integer(0, 7)));
    const std::string found = complaint(bytes);
    EXPECT_EQ(found.find("does not name the file"), std::string::npos) << found << " at byte " << place;
  }
}

TEST_F(DamagedCheckpoint, SaysWhatDoesNotFit) {
  expect(complaint([](auto& c) { c.metadata.erase("format"); }), "has no \"format\" in its __metadata__");
  expect(complaint([](auto& c) { c.metadata["format"] = "pt"; }), "its format is \"pt\"");
  expect(complaint([](auto& c) { c.metadata["options"] = "{"; }), "options that make no sense");
  expect(complaint([](auto& c) { c.metadata["options"] = "{}"; }), "options that make no sense");
  expect(complaint([](auto& c) {
           c.metadata["options"].replace(c.metadata["options"].find("\"heads\":2"), 9, "\"heads\":3");
         }),
         "--d-model 8 does not divide into --heads 3");
  expect(complaint([](auto& c) {
           c.metadata["options"].replace(c.metadata["options"].find("\"heads\":2"), 9, "\"heads\":1e300");
         }),
         "heads is 1e+300, wanted a whole number");
  expect(complaint([](auto& c) { c.metadata["data"] = "additions of 4"; }), "was trained on other data");
  expect(complaint([](auto& c) { c.metadata["steps"] = "4"; }), "of step 4, but has the losses of 3 steps");
  expect(complaint([](auto& c) { c.metadata["checksum"] = "0"; }), "is damaged: its checksum");
  expect(complaint([](auto& c) { tensor(c, "norm.gain").name = "norm.pain"; }),
         "has no tensor \"norm.gain\"");
  expect(complaint([](auto& c) {
           tensor(c, "norm.gain").shape = {2, 4};
         }),
         "has the shape [2,4], wanted [8]");
  expect(complaint([](auto& c) {
           auto& t = tensor(c, "adam.first.head.weight");
           std::swap(t.shape[0], t.shape[1]);
         }),
         "has the shape [13,8], wanted [8,13]");
  expect(complaint([](auto& c) {
           auto& t = tensor(c, "adam.second.head.weight");
           t.dtype = "F64";
           t.shape = {4, 13};
         }),
         "is F64, wanted F32");
  expect(complaint([](auto& c) { c.tensors.push_back({"more", "F32", {0}, {}}); }), "tensors, wanted");
  const double impossible[] = {9.0, 1.0, 0.0}, not_a_number = std::nan("");
  expect(complaint([&](auto& c) {
           auto& t = tensor(c, "history.validations");
           t = safetensors::tensor_of(t.name, {1, 3}, impossible, 3);
         }),
         "has a validation of step 9");
  expect(complaint([&](auto& c) {
           auto& t = tensor(c, "history.training_loss");
           t = safetensors::tensor_of(t.name, {1}, &not_a_number, 1);
         }),
         "holds a number that is not finite");
}

// ---------------------------------------------------------------- texts

TEST(TextTask, SplitsNinetyToTen) {
  const Folder folder;
  std::string text;
  for (int i = 0; i < 90; ++i) text += static_cast<char>('A' + i % 26);
  text += "0123456789";
  const train::TextTask task(folder.write("text", text), 4);
  const auto text_of = [&](const std::vector<int>& tokens, Index column, Index count) {
    std::vector<int> of_column;
    for (Index t = 0; t < 4; ++t) of_column.push_back(tokens[static_cast<std::size_t>(t * count + column)]);
    return task.tokenizer().decode(of_column);
  };
  EXPECT_EQ(task.sequences_per_epoch(), 22);  // (90 - 1) / 4
  EXPECT_EQ(task.validation_sequences(), 2);  // (10 - 1) / 4
  train::Batch batch = task.empty_batch(2);
  task.validation_sequence(1, 1, batch);
  EXPECT_EQ(text_of(batch.inputs, 1, 2), "4567");
  EXPECT_EQ(text_of(batch.targets, 1, 2), "5678");

  // Training sequences start at every place of their part, and what follows them is in it, too.
  std::set<std::size_t> ends;
  for (Index step = 1; step <= 400; ++step) {
    const train::Batch trained = task.training_batch(1, step, 0, 3);
    for (Index column = 0; column < 3; ++column) {
      const std::string input = text_of(trained.inputs, column, 3),
                        target = text_of(trained.targets, column, 3);
      EXPECT_EQ(input.substr(1), target.substr(0, 3));
      EXPECT_EQ(target.find_first_of("0123456789"), std::string::npos);
      ends.insert(text.find(input + target.back()));
    }
  }
  EXPECT_EQ(ends.size(), 26u);  // the letters repeat; each is the start of some sequence
  EXPECT_EQ(ends.count(std::string::npos), 0u);
}

TEST(TextTask, SaysWhatIsWrongWithAText) {
  const Folder folder;
  const auto complaint = [&](const fs::path& path, Index seq_len = 4) {
    const std::string message = error_of_call<std::exception>([&] { train::TextTask(path, seq_len); });
    EXPECT_EQ(message.rfind(path.string() + ": ", 0), 0u) << message;
    return message.substr(path.string().size() + 2);
  };
  EXPECT_EQ(complaint(folder / "none"), "there is no such file");
  EXPECT_EQ(complaint(folder.write("empty", "")), "is empty");
  EXPECT_NE(complaint(folder.write("latin", "caf\xE9 noir")).find("byte 0xE9 at offset 3 is not UTF-8"),
            std::string::npos);
  EXPECT_NE(complaint(folder.write("short", std::string(40, 'a')))
                .find("has 40 characters, of which 4 are for validation"),
            std::string::npos);
  EXPECT_NE(complaint(folder / ".").find("is a directory"), std::string::npos);
}

}  // namespace
