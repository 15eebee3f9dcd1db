// A libFuzzer target: the trainer's checkpoints, safetensors files read from disk. Whatever the bytes are, they are read
// whole or refused with a FileError, and what is read is finite. See tests/fuzz/README.md for how to run it.
#include <cmath>
#include <string>

#include "../../examples/train_transformer/addition_task.hpp"
#include "../../examples/train_transformer/checkpoint.hpp"
#include "../support/temporary_folder.hpp"
#include "fuzzed_input.hpp"

namespace rotary::testing {
namespace {

namespace safetensors = train::safetensors;

train::RunOptions smallest_run() {
  train::RunOptions run;
  run.digits = 1;
  run.batch = 1;
  run.layers = 1;
  run.d_model = 2;
  run.heads = 1;
  run.d_ff = 1;
  run.warmup = 1;
  run.steps = 9;
  return run;
}

/// A training to restore checkpoints into, and a checkpoint of it that is whole.
struct Training {
  train::AdditionTask task{1};
  train::Workers workers{1};
  train::Trainer trainer{smallest_run(), task, workers};
  TemporaryFolder folder;
  std::string file;
  safetensors::Contents whole;

  Training() {
    trainer.train_step();
    trainer.history().validations.push_back({1, 0.5, 0.25});
    train::save_checkpoint(folder / "whole", trainer);
    file = train::read_file(folder / "whole");
    whole = safetensors::parse(file);
  }
};

Training& training() {
  static Training once;
  return once;
}

/// The checkpoint of the training, with a few changes that a checksum does not find.
std::string changed_checkpoint(FuzzedInput& input) {
  safetensors::Contents contents = training().whole;
  std::vector<std::string> stored;  // the bytes that tensors point to
  stored.reserve(8);
  for (int changes = static_cast<int>(input.integer(0, 4)); changes > 0; --changes) {
    auto& tensor = contents.tensors[input.byte() % contents.tensors.size()];
    switch (input.byte() % 8) {
      case 0:
        tensor.name += static_cast<char>(input.byte() % 128);
        break;
      case 1:
        tensor.dtype = input.pick({"F32", "F64", "F16", ""});
        break;
      case 2:
        tensor.shape.push_back(input.pick<std::uint64_t>({1, 0, 2, UINT64_MAX, std::uint64_t{1} << 63}));
        break;
      case 3:
        if (!tensor.shape.empty())
          tensor.shape[input.byte() % tensor.shape.size()] =
              input.flag() ? input.byte() : input.any<std::uint64_t>();
        break;
      case 4: {
        std::string bytes(tensor.bytes);
        if (!bytes.empty()) bytes[input.byte() % bytes.size()] = static_cast<char>(input.byte());
        if (bytes.size() >= 8 && input.flag()) {
          const double number = input.real();
          std::memcpy(bytes.data(), &number, 8);
        }
        if (input.flag()) bytes.resize(8 * static_cast<std::size_t>(input.integer(0, 9)));
        stored.push_back(bytes);
        tensor.bytes = stored.back();
        break;
      }
      case 5:
        contents.tensors.pop_back();
        break;
      case 6:
        contents.metadata[input.pick({"steps", "data", "alphabet", "format", "options", "other"})] =
            std::string(static_cast<std::size_t>(input.integer(0, 3)), static_cast<char>(input.byte() % 128));
        break;
      default: {  // another option of the run
        nlohmann::json options = nlohmann::json::parse(training().whole.metadata["options"]);
        auto member = options.begin();
        std::advance(member, static_cast<std::ptrdiff_t>(input.byte() % options.size()));
        switch (input.byte() % 4) {
          case 0:
            *member = input.any<std::int64_t>();
            break;
          case 1:
            *member = input.real();
            break;
          case 2:
            *member = nullptr;
            break;
          default:
            options.erase(member);
        }
        contents.metadata["options"] = options.dump();
      }
    }
    if (contents.tensors.empty()) break;
  }
  contents.metadata["checksum"] = train::detail::checksum_of(contents);
  std::string file = safetensors::header_of(contents);
  for (const safetensors::Tensor& tensor : contents.tensors) file += tensor.bytes;
  return file;
}

void read(const std::string& bytes) {
  Training& of = training();
  const auto path = of.folder.write("fuzzed", bytes);
  try {
    const train::Checkpoint checkpoint(path);
    checkpoint.restore(of.trainer);
  } catch (const train::FileError& error) {  // any other exception ends the program
    require(std::string_view(error.what()).starts_with(path.string() + ": "), "an error names the file");
    return;
  }
  for (const auto& parameter : of.trainer.parameters())
    for (Index n = 0; n < parameter.size(); ++n)
      require(std::isfinite(parameter.data[n]), "weights that were read are finite");
  for (const double loss : of.trainer.history().training_loss)
    require(std::isfinite(loss), "losses that were read are finite");
}

}  // namespace
}  // namespace rotary::testing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace rotary::testing;
  FuzzedInput input(data, size);
  switch (input.byte() % 3) {
    case 0: {  // any bytes
      const auto rest = input.rest();
      read(std::string(rest.begin(), rest.end()));
      break;
    }
    case 1: {  // a header of the length that the file says it has, and so many bytes of data
      std::string contents(static_cast<std::size_t>(input.byte()), '\0');
      const auto rest = input.rest();
      const std::uint64_t length = rest.size();
      std::string file(sizeof length, '\0');
      std::memcpy(file.data(), &length, sizeof length);
      read(file + std::string(rest.begin(), rest.end()) + contents);
      break;
    }
    default:
      read(changed_checkpoint(input));
  }
  return 0;
}
