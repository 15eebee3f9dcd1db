// The trainer's model: its gradient against differences of its loss, its layers, its optimizer, what it
// learns.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "../../examples/train_transformer/adam.hpp"
#include "../../examples/train_transformer/addition_task.hpp"
#include "../../examples/train_transformer/model.hpp"
#include "../../examples/train_transformer/tokenizer.hpp"
#include "../../examples/train_transformer/workers.hpp"
#include "support/errors.hpp"
#include "support/random.hpp"

namespace {

using rotary::testing::error_of_call;
using train::Index;

train::ModelOptions small_model(train::PositionKind positions, double dropout) {
  train::ModelOptions options;
  options.vocabulary = 7;
  options.layers = 2;
  options.d_ff = 12;
  options.attention = {.d_model = 8, .heads = 2, .positions = positions, .dropout = dropout};
  return options;
}

train::Batch random_batch(rotary::testing::Random& random, Index seq, Index count, int vocabulary) {
  train::Batch batch{seq, count, {}, {}};
  for (Index t = 0; t < seq * count; ++t) {
    batch.inputs.push_back(random.integer(0, vocabulary - 1));
    batch.targets.push_back(random.integer(0, 4) == 0 ? train::kNotGraded
                                                      : random.integer(0, vocabulary - 1));
  }
  return batch;
}

class ModelGradient : public testing::TestWithParam<std::tuple<train::PositionKind, double>> {};

TEST_P(ModelGradient, IsTheDifferenceOfTheLoss) {
  rotary::testing::Random random(31);
  SCOPED_TRACE(random.replay());
  const auto [positions, dropout] = GetParam();
  train::Model<double> model(small_model(positions, dropout)), gradient(model.options());
  model.initialize(random.bits());
  const train::Parameters<double> parameters = model.parameters(), gradients = gradient.parameters();
  // Gains start at 1 and their biases at 0; moved from there, no term of a gradient vanishes.
  for (const auto& parameter : parameters)
    for (double& value : parameter.values()) value += random.uniform(-0.1, 0.1);
  const train::Batch batch = random_batch(random, 5, 3, 7);
  const std::uint64_t dropout_seed = random.bits();
  const double scale = 0.37;

  train::Model<double>::Activations activations;
  const auto loss = [&] {
    train::Model<double> unused(model.options());
    train::Random dropped({dropout_seed});
    return scale * model.train(batch, scale, activations, dropped, unused).sum;
  };
  train::Random dropped({dropout_seed});
  model.train(batch, scale, activations, dropped, gradient);

  for (std::size_t i = 0; i < parameters.size(); ++i) {
    for (int probe = 0; probe < 4; ++probe) {
      const Index place = random.integer<Index>(0, parameters[i].size() - 1);
      double& value = parameters[i].data[place];
      const double before = value, step = 1e-5;
      value = before + step;
      const double above = loss();
      value = before - step;
      const double below = loss();
      value = before;
      const double found = gradients[i].data[place], wanted = (above - below) / (2 * step);
      EXPECT_NEAR(found, wanted, 1e-7 + 1e-6 * std::abs(wanted)) << parameters[i].name << "[" << place << "]";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, ModelGradient,
    testing::Combine(testing::Values(train::PositionKind::rotary, train::PositionKind::rotary_value,
                                     train::PositionKind::xpos, train::PositionKind::sinusoidal,
                                     train::PositionKind::none),
                     testing::Values(0.0, 0.3)));

TEST(Model, ParametersOfWeightsAndGradientGoTogether) {
  train::Model<double> model(small_model(train::PositionKind::rotary, 0)), gradient(model.options());
  const auto parameters = model.parameters(), gradients = gradient.parameters();
  ASSERT_EQ(parameters.size(), gradients.size());
  Index numbers = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_EQ(parameters[i].name, gradients[i].name);
    EXPECT_EQ(parameters[i].shape, gradients[i].shape);
    EXPECT_NE(parameters[i].data, gradients[i].data);
    numbers += parameters[i].size();
  }
  // Embedding 7·8; per layer two norms 2·2·8, attention 4·8·8 + 4·8, feed-forward 8·12 + 12 + 12·8 + 8; last norm 2·8;
  // head 8·7 + 7.
  EXPECT_EQ(numbers, 56 + 2 * (32 + 288 + 212) + 16 + 63);
}

// nn.Embedding is normal of deviation 1, nn.Linear uniform within ±1/√in, nn.LayerNorm 1 and 0. The bounds are five
// deviations of a mean and of a variance.
TEST(Model, StartsAsPyTorchDoes) {
  train::ModelOptions options = small_model(train::PositionKind::rotary, 0);
  options.vocabulary = 60;
  options.d_ff = 200;
  options.attention.d_model = 48;
  train::Model<double> model(options);
  model.initialize(3);
  for (const auto& parameter : model.parameters()) {
    const auto values = parameter.values();
    const double count = static_cast<double>(values.size());
    const auto ends_with = [&](const char* end) { return parameter.name.ends_with(end); };
    SCOPED_TRACE(parameter.name);
    const double mean = values.mean(), variance = values.square().mean();
    if (parameter.name == "embedding.weight") {
      EXPECT_NEAR(mean, 0, 5 / std::sqrt(count));
      EXPECT_NEAR(variance, 1, 5 * std::sqrt(2 / count));
      EXPECT_GT(values.abs().maxCoeff(), 3);
    } else if (ends_with("gain")) {
      EXPECT_TRUE((values == 1).all());
    } else if (parameter.name.find("norm") != std::string::npos) {
      EXPECT_TRUE((values == 0).all());
    } else {
      const double bound = 1 / std::sqrt(ends_with("layer2.weight") || ends_with("layer2.bias") ? 200. : 48.);
      EXPECT_LE(values.abs().maxCoeff(), bound);
      EXPECT_GT(values.abs().maxCoeff(), bound * (1 - 10 / count));
      EXPECT_NEAR(mean, 0, 5 * bound / std::sqrt(3 * count));
      EXPECT_NEAR(variance, bound * bound / 3, 5 * bound * bound * std::sqrt(4 / 45. / count));
    }
  }
}

TEST(Model, SinusoidalEncodingsAreThoseOfThePaper) {
  const auto encodings = train::sinusoidal_encodings<double>(50, 6);
  for (Index position = 0; position < 50; ++position)
    for (Index i = 0; i < 3; ++i) {
      const double angle = static_cast<double>(position) / std::pow(10000.0, static_cast<double>(i) / 3);
      EXPECT_NEAR(encodings(position, 2 * i), std::sin(angle), 1e-14);
      EXPECT_NEAR(encodings(position, 2 * i + 1), std::cos(angle), 1e-14);
    }
  EXPECT_EQ(train::sinusoidal_encodings<double>(2, 3)(1, 2), 0);
}

// The first layer's input is an embedding plus an encoding, whatever was read before with these activations.
TEST(Model, AddsSinusoidalEncodingsToEmbeddings) {
  train::ModelOptions options = small_model(train::PositionKind::sinusoidal, 0);
  options.layers = 0;
  train::Model<double> model(options);
  model.initialize(8);
  const auto encodings = train::sinusoidal_encodings<double>(5, 8);
  const Eigen::Map<const train::Matrix<double>> embedding(model.parameters()[0].data, 7, 8);
  train::Model<double>::Activations a;
  for (const Index seq : {3, 5, 2}) {
    train::Batch batch{seq, 2, {}, {}};
    for (Index t = 0; t < 2 * seq; ++t) batch.inputs.push_back(static_cast<int>(t % 7));
    model.forward(batch, a);
    for (Index t = 0; t < 2 * seq; ++t)
      EXPECT_EQ(a.x.row(t), embedding.row(t % 7) + encodings.row(t / 2)) << t;
  }
}

TEST(Model, TakesOtherFrequenciesThanThoseOfTraining) {
  const train::Batch batch{5, 1, {1, 2, 3, 4, 5}, {}};
  for (const auto positions :
       {train::PositionKind::rotary, train::PositionKind::rotary_value, train::PositionKind::xpos}) {
    const auto logits = [&](std::optional<rotary::Frequencies> frequencies) {
      train::ModelOptions options = small_model(positions, 0);
      options.attention.frequencies = std::move(frequencies);
      train::Model<double> model(options);
      model.initialize(4);
      train::Model<double>::Activations a;
      model.forward(batch, a);
      return a.logits;
    };
    EXPECT_EQ(logits(std::nullopt), logits(rotary::language_frequencies(4)));
    EXPECT_NE(logits(std::nullopt), logits(rotary::scaled(rotary::language_frequencies(4), 2)));
  }
}

TEST(Model, SeesNoLaterToken) {
  rotary::testing::Random random(5);
  SCOPED_TRACE(random.replay());
  train::Model<double> model(small_model(train::PositionKind::rotary, 0));
  model.initialize(random.bits());
  train::Batch batch = random_batch(random, 6, 2, 7);
  train::Model<double>::Activations before, after;
  model.forward(batch, before);
  batch.inputs[8] = (batch.inputs[8] + 1) % 7;  // token 4 of sequence 0
  model.forward(batch, after);
  for (Index row = 0; row < 12; ++row) {
    const bool sees = row % 2 == 0 && row / 2 >= 4;
    EXPECT_EQ((before.logits.row(row) - after.logits.row(row)).cwiseAbs().maxCoeff() > 1e-9, sees) << row;
  }
}

TEST(Model, WithoutPositionsTheOrderOfWhatWasReadDoesNotMatter) {
  for (const auto positions : {train::PositionKind::none, train::PositionKind::rotary}) {
    train::ModelOptions options = small_model(positions, 0);
    options.layers = 1;  // a second layer would see what each token saw
    train::Model<double> model(options);
    model.initialize(4);
    train::Model<double>::Activations ab, ba;
    model.forward({4, 1, {1, 2, 3, 4}, {}}, ab);
    model.forward({4, 1, {3, 1, 2, 4}, {}}, ba);
    const double difference = (ab.logits.row(3) - ba.logits.row(3)).cwiseAbs().maxCoeff();
    EXPECT_EQ(difference > 1e-3, positions == train::PositionKind::rotary) << difference;
  }
}

TEST(Model, DropoutIsForTrainingOnly) {
  train::Model<float> model(small_model(train::PositionKind::rotary, 0.5));
  model.initialize(1);
  train::Model<float>::Activations a;
  const train::Batch batch{4, 1, {1, 2, 3, 4}, {2, 3, 4, 5}};
  const auto logits = [&](train::Random* random) {
    model.forward(batch, a, random);
    return a.logits;
  };
  const auto used = logits(nullptr);
  EXPECT_EQ(used, logits(nullptr));
  train::Random one({1}), same({1}), other({2});
  const auto dropped = logits(&one);
  EXPECT_NE(dropped, used);
  EXPECT_EQ(dropped, logits(&same));
  EXPECT_NE(dropped, logits(&other));
}

TEST(CrossEntropy, KnownValues) {
  train::Matrix<double> logits(3, 2);
  logits << 0, 0, 1000, 0, 3, 5;  // 1000: no exponential may overflow
  const train::Loss loss = train::cross_entropy(logits, {0, 1, train::kNotGraded}, 0.5);
  EXPECT_EQ(loss.graded, 2);
  EXPECT_NEAR(loss.sum, std::log(2.0) + 1000, 1e-9);
  train::Matrix<double> gradient(3, 2);
  gradient << -0.25, 0.25, 0.5, -0.5, 0, 0;
  EXPECT_LT((logits - gradient).cwiseAbs().maxCoeff(), 1e-12);
}

TEST(CrossEntropy, OfSomeRowsIsThatPartOfAll) {
  rotary::testing::Random random(6);
  SCOPED_TRACE(random.replay());
  train::Matrix<double> logits(5, 3);
  random.fill(logits);
  logits.row(1) *= 1000;
  const std::vector<int> targets{0, 2, train::kNotGraded, 1, 2};
  train::Loss sum = train::loss_of_rows(logits, targets, 0, 2);
  EXPECT_EQ(sum.graded, 2);
  EXPECT_EQ(train::loss_of_rows(logits, targets, 2, 3).graded, 0);
  sum += train::loss_of_rows(logits, targets, 2, 5);
  const train::Loss all = train::cross_entropy(logits, targets, 1);
  EXPECT_EQ(sum.graded, all.graded);
  EXPECT_NEAR(sum.sum, all.sum, 1e-12);
}

TEST(Noam, RisesToTheWarmupAndFallsWithTheRoot) {
  const auto rate = [](Index warmup, Index step) {
    return train::noam_learning_rate(2.0, 256, warmup, step);
  };
  EXPECT_DOUBLE_EQ(rate(400, 1), 2.0 / 16 / 8000);   // step · warmup^-1.5
  EXPECT_DOUBLE_EQ(rate(400, 200), 2.0 / 16 / 40);   // in a straight line
  EXPECT_DOUBLE_EQ(rate(400, 400), 2.0 / 16 / 20);   // where the two branches meet
  EXPECT_DOUBLE_EQ(rate(400, 1600), 2.0 / 16 / 40);  // step^-0.5
  EXPECT_DOUBLE_EQ(rate(0, 4), 2.0 / 16 / 2);
}

TEST(Adam, FollowsThePaper) {
  double weight = 1.0, gradient = 0;
  const train::Parameter<double> parameter{"w", {1}, &weight}, of_loss{"w", {1}, &gradient};
  train::Adam<double> adam({parameter}, {.beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-3});
  double wanted = 1.0, first = 0, second = 0;
  for (int step = 1; step <= 3; ++step) {
    gradient = 4.0 * step;
    const double clipped = 0.5 * gradient;
    first = 0.9 * first + 0.1 * clipped;
    second = 0.99 * second + 0.01 * clipped * clipped;
    wanted -=
        0.1 * (first / (1 - std::pow(0.9, step))) / (std::sqrt(second / (1 - std::pow(0.99, step))) + 1e-3);
    adam.update(0, parameter, of_loss, 0.5, 0.1, step);
    EXPECT_NEAR(weight, wanted, 1e-14);
  }
}

TEST(Tokenizer, GoesThereAndBack) {
  const train::Tokenizer tokenizer("hello, wörld — ok\n");
  EXPECT_EQ(tokenizer.size(), 13);
  const std::string text = "wörld\n— ,";
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  EXPECT_EQ(tokenizer.encode(text).size(), 9u);
  EXPECT_EQ(train::Tokenizer(tokenizer.alphabet()).encode(text), tokenizer.encode(text));
}

TEST(Tokenizer, NamesTheCharacterItDoesNotKnow) {
  const train::Tokenizer tokenizer("abc");
  EXPECT_EQ(error_of_call<std::exception>([&] { tokenizer.encode("abd"); }),
            "the character 'd' (U+0064) is not among the 3 that the model knows");
  EXPECT_NE(error_of_call<std::exception>([&] { tokenizer.encode("aé"); }).find("'é' (U+00E9)"),
            std::string::npos);
  EXPECT_NE(error_of_call<std::exception>([&] { tokenizer.encode("a€"); }).find("'€' (U+20AC)"),
            std::string::npos);
  EXPECT_NE(error_of_call<std::exception>([&] { tokenizer.encode("😀"); }).find("'😀' (U+1F600)"),
            std::string::npos);
  EXPECT_NE(error_of_call<std::exception>([&] { tokenizer.encode("a\n"); }).find("character U+000A "),
            std::string::npos);
}

TEST(Tokenizer, NamesTheByteThatIsNoUtf8) {
  for (const std::string bad : {"ab\xE9", "ab\xE9zz", "ab\xC0\x80", "ab\xFF", "ab\xF0\x9F\x98"})
    EXPECT_NE(error_of_call<std::exception>([&] { train::Tokenizer{bad}; }).find("at offset 2 is not UTF-8"),
              std::string::npos);
}

TEST(AdditionTask, AsksAndAnswers) {
  const train::AdditionTask task(3);
  EXPECT_EQ(task.question({47, 985}), "740+589=");
  EXPECT_EQ(task.answer({47, 985}), "2301.");
  EXPECT_EQ(task.answer({1, 2}), "3000.");
  EXPECT_EQ(task.answer({999, 999}), "8991.");

  const train::Batch batch = task.training_batch(/*seed=*/1, /*step=*/2, /*first=*/0, /*count=*/4);
  for (Index column = 0; column < 4; ++column) {
    std::vector<int> asked, answered;
    for (Index t = 0; t < batch.seq; ++t) {
      const auto place = static_cast<std::size_t>(t * 4 + column);
      if (t < 8) asked.push_back(batch.inputs[place]);
      if (t >= 7) answered.push_back(batch.targets[place]);
      EXPECT_EQ(batch.targets[place] == train::kNotGraded, t < 7);
    }
    const std::string question = task.tokenizer().decode(asked);
    const auto number = [&](std::size_t start) {
      std::string digits = question.substr(start, 3);
      std::reverse(digits.begin(), digits.end());
      return std::stoull(digits);
    };
    const train::AdditionTask::Problem problem{number(0), number(4)};
    EXPECT_EQ(question, task.question(problem));
    EXPECT_EQ(task.tokenizer().decode(answered), task.answer(problem));
  }
}

TEST(AdditionTask, ValidatesWithSumsItNeverTrains) {
  const train::AdditionTask task(1);  // a hundred sums: the two parts would meet soon
  const auto questions = [&](const train::Batch& batch, std::set<std::string>& into) {
    for (Index column = 0; column < batch.batch; ++column) {
      std::vector<int> tokens;
      for (Index t = 0; t < 4; ++t)
        tokens.push_back(batch.inputs[static_cast<std::size_t>(t * batch.batch + column)]);
      into.insert(task.tokenizer().decode(tokens));
    }
  };
  std::set<std::string> trained, validated;
  for (Index step = 1; step <= 20; ++step) questions(task.training_batch(1, step, 0, 50), trained);
  train::Batch validation = task.empty_batch(50);
  for (Index i = 0; i < 50; ++i) task.validation_sequence(i, i, validation);
  questions(validation, validated);
  EXPECT_GT(trained.size(), 80u);
  EXPECT_GE(validated.size(), 3u);
  for (const std::string& question : validated) EXPECT_EQ(trained.count(question), 0u) << question;
}

TEST(Workers, DoEveryPieceOnceAndPassOnFailures) {
  for (const Index count : {1, 4}) {
    train::Workers workers(count);
    for (int round = 0; round < 100; ++round) {
      std::vector<int> done(17);
      workers.run(17, [&](Index piece, Index worker) {
        EXPECT_LT(worker, count);
        ++done[static_cast<std::size_t>(piece)];
      });
      EXPECT_EQ(done, std::vector<int>(17, 1));
    }
    EXPECT_THROW(workers.run(3,
                             [](Index piece, Index) {
                               if (piece == 1) throw std::runtime_error("no");
                             }),
                 std::runtime_error);
    workers.run(0, [](Index, Index) {});
  }
}

}  // namespace
