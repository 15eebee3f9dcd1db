// The golden cases are all run, each by exactly one program, and reading and comparing them can be relied on.
#include <gtest/gtest-spi.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "support/golden_calls.hpp"
#include "support/random.hpp"
#include "support/temporary_folder.hpp"

namespace rotary::testing::golden {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

// ---------------------------------------------------------------- files

TEST(Golden, EveryFileIsRunByExactlyOneProgram) {
  for (const std::string& problem : unclaimed(ROTARY_TEST_DATA_DIR)) ADD_FAILURE() << problem;
}

void expect_registered(const std::string& program, const std::string& cases) {
  const fs::path source = fs::path(ROTARY_TEST_DATA_DIR).parent_path() / "reference" / (program + ".cpp");
  std::ifstream stream(source);
  std::ostringstream text;
  text << stream.rdbuf();
  for (const std::string& word :
       {"kCases = " + cases + ';', std::string("register_tests("), std::string("register_altered(")})
    EXPECT_NE(text.str().find(word), std::string::npos) << source << " has no " << word;
}

TEST(Golden, EveryProgramRunsWhatItClaims) {
  for (const Runner& runner : runners()) {
    EXPECT_FALSE(cases_of(runner.program).empty()) << runner.program;
    expect_registered(runner.program, std::string("cases_of(\"") + runner.program + "\")");
  }
  EXPECT_FALSE(cases_with_gradients().empty());
  expect_registered("golden_gradients_test", "cases_with_gradients()");
}

// A case that the reference refuses needs a decision of ours, and a decision needs a case.
TEST(Golden, EveryRefusalIsDecided) {
  std::set<std::string> refused, decided;
  for (const std::string& set : sets())
    for (const std::string& file : files(set))
      if (const Case c = load(set, file); c.expected_error) refused.insert(set + '/' + c.name);
  for (const Decision& decision : decisions())
    EXPECT_TRUE(decided.insert(decision.name).second) << decision.name;
  EXPECT_EQ(refused, decided);
}

TEST(Golden, EveryUnnoticedArgumentIsOfACase) {
  for (const Unnoticed& argument : unnoticed_arguments()) {
    const std::string name = argument.name;
    const std::size_t slash = name.find('/');
    EXPECT_NO_THROW(load(name.substr(0, slash), name.substr(slash + 1))) << name;
  }
}

TEST(Golden, EveryFileCanBeRead) {
  for (const std::string& set : sets())
    for (const std::string& file : files(set)) {
      SCOPED_TRACE(set + '/' + file);
      EXPECT_NO_THROW(load(set, file));
    }
}

// What lies beside the folders is read by tests of its own, each a section.
TEST(Golden, EverySectionOfADocumentIsRead) {
  const fs::path root = ROTARY_TEST_DATA_DIR;
  std::ostringstream sources;
  for (const auto& entry : fs::recursive_directory_iterator(root.parent_path()))
    if (entry.path().filename().string().ends_with("_test.cpp"))
      sources << std::ifstream(entry.path()).rdbuf();
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream stream(entry.path());
    const Json json = Json::parse(stream);
    for (const auto& [section, value] : json.items()) {
      // These are for the reader.
      if (section == "format" || section == "description" || section == "not_included") continue;
      EXPECT_NE(sources.str().find("at(\"" + section + "\")"), std::string::npos)
          << "no test reads " << section << " of " << entry.path().filename();
    }
  }
}

TEST(Golden, FilesThatNobodyRunsAreFound) {
  const TemporaryFolder folder;
  const fs::path root = folder / "golden";
  const auto write = [&](const std::string& file, const std::string& text) {
    fs::create_directories((root / file).parent_path());
    std::ofstream(root / file) << text;
  };
  write("README.md", "");
  write("named.json", "");
  write("../some_test.cpp", "named.json");
  write("onnx/broken.json", "{");  // its program says what is wrong with it
  EXPECT_EQ(unclaimed(root), std::vector<std::string>{});
  write("stray.json", "{}");
  write("onnx/data.txt", "");
  write("onnx/deeper/case.json", "{}");
  write("somebody_else/case.json", "{}");
  EXPECT_EQ(unclaimed(root), (std::vector<std::string>{
                                 "onnx/data.txt is no case, a file folder/name.json",
                                 "onnx/deeper/case.json is no case, a file folder/name.json",
                                 "somebody_else/case.json: 0 test programs run it",
                                 "stray.json: no test program names it",
                             }));
}

// ---------------------------------------------------------------- small cases

Json tensor(std::vector<Index> shape, std::vector<double> data, const char* dtype = "float32") {
  return {{"dtype", dtype}, {"shape", std::move(shape)}, {"data", std::move(data)}};
}

Json call(const char* function, Json args, std::vector<std::string> out) {
  return {{"fn", function}, {"args", std::move(args)}, {"out", std::move(out)}};
}

/// A case of calls with inputs, to which results are added.
Json case_of(Json constructor, std::vector<Json> calls, Json inputs) {
  return {{"name", "small"},
          {"set", ""},
          {"source", ""},
          {"commit", ""},
          {"seed", nullptr},
          {"notes", ""},
          {"dtype", "float32"},
          {"tags", Json::array()},
          {"constructor", constructor},
          {"calls", calls},
          {"inputs", inputs}};
}

void add_output(Json& json, const std::string& name, const std::vector<Index>& shape,
                const std::vector<double>& data) {
  json["outputs"][name] = tensor(shape, data);
  json["outputs_f64"][name] = tensor(shape, data, "float64");
  json["tolerance"]["f32_atol"][name] = 2e-6;
  json["tolerance"]["f64_atol"][name] = 1e-12;
}

template <class T>
void run_case(const Case& c) {
  Session session(c, std::is_same_v<T, double>);
  run<T>(session, c, c.constructor, c.calls);
  session.check();
}

std::string report(const Json& json, RunCase check = run_case<double>, Part part = Part::results) {
  return report_of([&] { return parse("lucidrains", "small", json.dump()); }, check, part);
}

/// Two queries rotate by one pair: angles 0 and 1, from offset 0.
Json rotation(double offset = 0) {
  Json json = case_of({{"class", "RotaryEmbedding"}, {"args", {{"dim", 2}}}},
                      {call("self.rotate_queries_or_keys", {{"t", "@t"}, {"offset", offset}}, {"out"})},
                      {{"t", tensor({2, 2}, {1, 0, 1, 0})}});
  add_output(json, "out", {2, 2},
             {std::cos(offset), std::sin(offset), std::cos(offset + 1), std::sin(offset + 1)});
  return json;
}

TEST(GoldenHarness, AGoodCasePasses) {
  EXPECT_EQ(report(rotation()), "");
  EXPECT_EQ(report(rotation(3)), "");
  EXPECT_EQ(report(rotation(3), run_case<float>), "");
}

TEST(GoldenHarness, WhatIsNotUnderstoodFails) {
  const auto expect = [](const char* word, const std::function<void(Json&)>& change) {
    Json json = rotation();
    change(json);
    const std::string found = report(json);
    EXPECT_NE(found.find(word), std::string::npos) << word << " is not in: " << found;
  };
  expect("unknown field extra", [](Json& json) { json["extra"] = 1; });
  expect("unknown field extra", [](Json& json) { json["calls"][0]["extra"] = 1; });
  expect("unknown field extra", [](Json& json) { json["constructor"]["extra"] = 1; });
  expect("unknown field extra", [](Json& json) { json["inputs"]["t"]["extra"] = 1; });
  expect("unknown field extra", [](Json& json) { json["tolerance"]["extra"] = 1; });
  expect("argument extra of RotaryEmbedding", [](Json& json) { json["constructor"]["args"]["extra"] = 1; });
  expect("argument extra of RotaryEmbedding",
         [](Json& json) { json["constructor"]["args"]["extra"] = nullptr; });
  expect("argument extra of self.rotate", [](Json& json) { json["calls"][0]["args"]["extra"] = 1; });
  expect("argument offset is of another kind", [](Json& json) { json["calls"][0]["args"]["offset"] = true; });
  expect("class Embedding", [](Json& json) { json["constructor"]["class"] = "Embedding"; });
  expect("call self.turn", [](Json& json) { json["calls"][0]["fn"] = "self.turn"; });
  expect("constructs nothing", [](Json& json) { json["constructor"] = nullptr; });
  expect("@u names no tensor", [](Json& json) { json["calls"][0]["args"]["t"] = "@u"; });
  expect("nothing uses the input u", [](Json& json) { json["inputs"]["u"] = json["inputs"]["t"]; });
  expect("unknown type int8", [](Json& json) { json["inputs"]["t"]["dtype"] = "int8"; });
  expect("as its shape says", [](Json& json) { json["inputs"]["t"]["shape"] = {2, 3}; });
  expect("found shape [4, 2]", [](Json& json) {
    json["inputs"]["t"] = tensor({4, 2}, {1, 0, 1, 0, 1, 0, 1, 0});
  });
  expect("no call makes the output other", [](Json& json) { add_output(json, "other", {1}, {1}); });
  expect("outputs_f64 of some outputs", [](Json& json) { json["outputs_f64"].erase("out"); });
  expect("f64_atol of some outputs", [](Json& json) { json["tolerance"]["f64_atol"].clear(); });
  expect("outputs or an expected error", [](Json& json) {
    json["expected_error"] = {{"kind", "assertion"}, {"type", "AssertionError"}, {"message", ""}};
  });
  expect("no field commit", [](Json& json) { json.erase("commit"); });
  expect("no float16", [](Json& json) { json["dtype"] = "float16"; });
  expect("the tag half", [](Json& json) { json["tags"] = {"half"}; });
  expect("the tag raises", [](Json& json) { json["tags"] = {"raises"}; });
  expect("is no integer", [](Json& json) { json["inputs"]["t"] = tensor({2, 2}, {1, 0, 0.5, 0}, "int64"); });
  expect("other was measured", [](Json& json) { json["tolerance"]["measured_f32_vs_f64"]["other"] = 0; });
  expect("calls itself large", [](Json& json) { json["name"] = "large"; });
  expect("argument dim of the intended constructor", [](Json& json) {
    json["intended_constructor"] = json["constructor"];
    json["intended_outputs_f64"] = json["outputs_f64"];
  });
  expect("argument t of the intended", [](Json& json) {
    json["intended_calls"] = json["calls"];
    json["intended_outputs_f64"] = json["outputs_f64"];
  });
  expect("no outputs of it", [](Json& json) { json["intended_calls"] = json["calls"]; });
  expect("which is no quirk", [](Json& json) {
    json["tags"] = {"reference_quirk"};
    json["intended_outputs_f64"] = json["outputs_f64"];
  });
  expect("argument w of params", [](Json& json) { json["params"]["w"] = "@t"; });
  expect("out[1, 1]", [](Json& json) { json["outputs_f64"]["out"]["data"][3] = 0; });
  expect("nobody knows the loss", [](Json& json) {
    json["grad"] = {{"loss", "max"}, {"weights", Json::object()}, {"wrt", Json::object()}};
  });
  expect("gradient other is not among the outputs", [](Json& json) {
    json["grad"] = {{"loss", "sum over outputs o of sum(weights[o] * o)"},
                    {"weights", Json::object()},
                    {"wrt", {{"other", "@t"}}}};
  });
}

TEST(GoldenHarness, NamesThatStandTwiceFail) {
  std::string text = rotation().dump();
  text.insert(text.find("\"offset\""), "\"offset\":0,");
  EXPECT_EQ(Json::parse(text), rotation()) << "the parser does not tell";
  const std::string found =
      report_of([&] { return parse("lucidrains", "small", text); }, run_case<double>, Part::results);
  EXPECT_NE(found.find("field offset twice"), std::string::npos) << found;
}

// A gradient in a program that has none, and an error where nobody expects one.
TEST(GoldenHarness, WhatIsNotComparedFails) {
  Json json = rotation();
  json["inputs"]["w"] = json["inputs"]["t"];
  json["grad"] = {{"loss", "sum over outputs o of sum(weights[o] * o)"},
                  {"weights", {{"out", "@w"}}},
                  {"wrt", {{"grad_t", "@t"}}}};
  add_output(json, "grad_t", {2, 2}, {1, 0, std::cos(1), -std::sin(1)});
  EXPECT_EQ(report(json), "");
  EXPECT_NE(report(json, run_case<double>, Part::all).find("nobody compared grad_t"), std::string::npos);
  EXPECT_EQ(report(json, run_gradients<double>, Part::gradients), "");
  json["grad"]["wrt"]["grad_t"] = "self.beta";
  EXPECT_NE(report(json, run_gradients<double>, Part::gradients).find("self.beta"), std::string::npos);

  json = rotation();
  for (const char* field : {"outputs", "outputs_f64", "tolerance"}) json.erase(field);
  json["tags"] = {"raises"};
  json["expected_error"] = {{"kind", "assertion"}, {"type", "AssertionError"}, {"message", ""}};
  EXPECT_NE(report(json).find("nobody looked at the expected error"), std::string::npos);
  json["expected_error"]["kind"] = "whim";
  EXPECT_NE(report(json).find("unknown kind whim"), std::string::npos);
}

template <Outcome kDecided>
void run_refused(const Case& c) {
  Session session(c, true);
  expect_refused(
      c, {"small", kDecided, "8"}, [&] { run<double>(session, c, c.constructor, c.calls); }, [] {});
}

// What the reference checks on purpose must be refused; where something inside fails, we do what we decided.
TEST(GoldenHarness, ErrorsByKind) {
  Json json = rotation();
  for (const char* field : {"outputs", "outputs_f64", "tolerance"}) json.erase(field);
  json["tags"] = {"raises"};
  const auto with_kind = [&](const char* kind, RunCase run) {
    json["expected_error"] = {{"kind", kind}, {"type", "Error"}, {"message", ""}};
    return report(json, run, Part::all);
  };
  const RunCase refused = run_refused<Outcome::refused>, returned = run_refused<Outcome::returned>,
                not_offered = run_refused<Outcome::not_offered>;
  for (const char* kind : {"assertion", "value error"}) {
    EXPECT_NE(with_kind(kind, returned).find("is refused by the reference"), std::string::npos) << kind;
    EXPECT_NE(with_kind(kind, refused).find("is not what was decided"), std::string::npos) << kind;
  }
  EXPECT_EQ(with_kind("accidental", returned), "");
  EXPECT_NE(with_kind("accidental", refused).find("is not what was decided"), std::string::npos);

  json["constructor"]["args"]["dim"] = 8;  // more than there are features
  for (const char* kind : {"assertion", "value error", "accidental"}) {
    EXPECT_EQ(with_kind(kind, refused), "");
    EXPECT_NE(with_kind(kind, not_offered).find("is not what was decided"), std::string::npos);
  }
  EXPECT_NE(with_kind("accidental", returned).find("is not what was decided"), std::string::npos);
  json["constructor"]["args"]["dim"] = 6;
  EXPECT_NE(with_kind("assertion", refused).find("for another reason"), std::string::npos);
  json["constructor"]["args"]["extra"] = 1;
  EXPECT_NE(with_kind("assertion", refused).find("argument extra"), std::string::npos);

  const Case undecided = parse("lucidrains", "small", json.dump());
  EXPECT_THROW(decision_for(undecided), std::runtime_error);
}

std::vector<Index> twos(int rank) { return std::vector<Index>(static_cast<std::size_t>(rank), 2); }

TEST(GoldenHarness, RotateHalfOfAnyRank) {
  for (int rank = 1; rank <= 7; ++rank) {
    std::vector<double> x, y;
    for (int n = 0; n < 1 << rank; n += 2) {
      x.insert(x.end(), {n + 1.0, n + 2.0});
      y.insert(y.end(), {-n - 2.0, n + 1.0});
    }
    Json json =
        case_of(nullptr, {call("rotate_half", {{"x", "@x"}}, {"out"})}, {{"x", tensor(twos(rank), x)}});
    add_output(json, "out", twos(rank), y);
    if (rank <= 6) {
      EXPECT_EQ(report(json), "");
      EXPECT_EQ(report(json, run_case<float>), "");
    } else {
      EXPECT_NE(report(json).find("7 axes"), std::string::npos);
    }
  }
}

TEST(GoldenHarness, BroadcatOfAnyRank) {
  for (int rank = 1; rank <= 7; ++rank)
    for (int other = 1; other <= rank && rank <= 6; ++other) {
      // [2, ..., 2] and a tensor of fewer axes that is broadcast in front, along the last axis.
      std::vector<double> a, b, joined;
      for (int n = 0; n < 1 << other; ++n) b.push_back(-n - 1);
      for (int n = 0; n < 1 << rank; ++n) a.push_back(n + 1);
      for (int n = 0; n < 1 << rank; n += 2) {
        const auto at = static_cast<std::size_t>(n % (1 << other));
        joined.insert(joined.end(), {n + 1.0, n + 2.0, b[at], b[at + 1]});
      }
      std::vector<Index> shape = twos(rank);
      shape.back() = 4;
      Json json = case_of(nullptr, {call("broadcat", {{"tensors", {"@a", "@b"}}}, {"out"})},
                          {{"a", tensor(twos(rank), a)}, {"b", tensor(twos(other), b)}});
      add_output(json, "out", shape, joined);
      EXPECT_EQ(report(json), "") << rank << " and " << other << " axes";
      json["calls"][0]["args"]["dim"] = rank - 1;
      EXPECT_EQ(report(json, run_case<float>), "") << rank << " and " << other << " axes";
    }
}

// Angles of a grid with offsets rotate a tensor, directly and as a table, and have a gradient.
TEST(GoldenHarness, OffsetsOfAGrid) {
  Json json = case_of({{"class", "RotaryEmbedding"}, {"args", {{"dim", 2}, {"learned_freq", true}}}},
                      {call("self.get_axial_freqs", {{"dims", {2, 1}}, {"offsets", {3, 5}}}, {"freqs"}),
                       call("apply_rotary_emb", {{"freqs", "@freqs"}, {"t", "@t"}}, {"out"})},
                      {{"t", tensor({2, 1, 4}, {1, 0, 1, 0, 1, 0, 1, 0})},
                       {"w", tensor({2, 1, 4}, {1, 2, 3, 4, 5, 6, 7, 8})}});
  json["grad"] = {{"loss", "sum over outputs o of sum(weights[o] * o)"},
                  {"weights", {{"out", "@w"}}},
                  {"wrt", {{"grad_freqs", "self.freqs"}}}};
  add_output(json, "freqs", {2, 1, 4}, {3, 3, 5, 5, 4, 4, 5, 5});
  std::vector<double> out;
  double gradient = 0;
  int n = 0;
  for (const double angle : {3, 5, 4, 5}) {
    out.insert(out.end(), {std::cos(angle), std::sin(angle)});
    gradient += angle * ((2 * n + 2) * std::cos(angle) - (2 * n + 1) * std::sin(angle));
    ++n;
  }
  add_output(json, "out", {2, 1, 4}, out);
  add_output(json, "grad_freqs", {1}, {gradient});
  EXPECT_EQ(report(json), "");
  EXPECT_EQ(report(json, run_gradients<double>, Part::gradients), "");
}

// The offset of queries in front of cached keys, forwards and in every gradient.
TEST(GoldenHarness, OffsetOfCachedKeys) {
  const std::vector<double> q = {1, 2}, k = {3, 4, 5, 6}, w_q = {7, -8}, w_k = {9, 1, -2, 3};
  Json json = case_of({{"class", "RotaryEmbedding"}, {"args", {{"dim", 2}, {"learned_freq", true}}}},
                      {call("self.rotate_queries_with_cached_keys", {{"q", "@q"}, {"k", "@k"}, {"offset", 4}},
                            {"q_out", "k_out"})},
                      {{"q", tensor({1, 2}, q)},
                       {"k", tensor({2, 2}, k)},
                       {"w_q", tensor({1, 2}, w_q)},
                       {"w_k", tensor({2, 2}, w_k)}});
  json["grad"] = {{"loss", "sum over outputs o of sum(weights[o] * o)"},
                  {"weights", {{"q_out", "@w_q"}, {"k_out", "@w_k"}}},
                  {"wrt", {{"grad_q", "@q"}, {"grad_k", "@k"}, {"grad_freqs", "self.freqs"}}}};
  double of_freqs = 0;
  const auto rotate = [&](const std::vector<double>& x, const std::vector<double>& w, double first,
                          const std::string& name) {
    std::vector<double> out, grad;
    for (std::size_t n = 0; n < x.size(); n += 2) {
      const double p = first + static_cast<double>(n / 2), c = std::cos(p), s = std::sin(p);
      out.insert(out.end(), {x[n] * c - x[n + 1] * s, x[n + 1] * c + x[n] * s});
      grad.insert(grad.end(), {w[n] * c + w[n + 1] * s, w[n + 1] * c - w[n] * s});
      of_freqs += p * (w[n] * -out[n + 1] + w[n + 1] * out[n]);
    }
    const std::vector<Index> shape = {static_cast<Index>(x.size() / 2), 2};
    add_output(json, name + "_out", shape, out);
    add_output(json, "grad_" + name, shape, grad);
  };
  rotate(q, w_q, 1 + 4, "q");
  rotate(k, w_k, 0, "k");
  add_output(json, "grad_freqs", {1}, {of_freqs});
  EXPECT_EQ(report(json), "");
  EXPECT_EQ(report(json, run_gradients<double>, Part::gradients), "");
}

// ---------------------------------------------------------------- reading and comparing

TEST(Golden, NumbersAreFloatsBeforeTheyAreDoubles) {
  Json json = rotation();
  json["inputs"]["t"]["data"] = {0.11829339, 0, 1, 0};
  const Case c = parse("lucidrains", "small", json.dump());
  EXPECT_EQ(c.input("t").shape, (std::vector<Index>{2, 2}));
  EXPECT_EQ(c.input("t").values.at(0), static_cast<double>(0.11829339f));
  EXPECT_NE(c.input("t").values.at(0), 0.11829339);
}

TEST(Golden, SixteenBitTensorsHoldSixteenBitNumbers) {
  for (const std::string& set : sets())
    for (const std::string& file : files(set))
      for (const auto& [name, x] : load(set, file).inputs)
        for (const double value : x.values) {
          if (x.dtype == "bfloat16") {
            ASSERT_EQ(static_cast<double>(static_cast<Eigen::bfloat16>(value)), value) << x.label;
          } else if (x.dtype == "float16") {
            ASSERT_EQ(static_cast<double>(static_cast<Eigen::half>(value)), value) << x.label;
          }
        }
}

TEST(Golden, WrongNamesAreErrorsOfTheTest) {
  const Case c = parse("lucidrains", "small", rotation().dump());
  EXPECT_THROW(c.output("nothing"), std::runtime_error);
  EXPECT_THROW(c.f32_atol("nothing"), std::runtime_error);
  EXPECT_THROW(c.calls.at(0).args.number("t"), std::runtime_error);  // it is a tensor
  EXPECT_THROW(load("lucidrains", "nothing"), std::runtime_error);
  EXPECT_THROW(files("nothing"), std::exception);
}

TEST(Golden, EigenTensorsOfEitherOrderHoldTheSameElements) {
  const Tensor x{"x", "float64", {2, 3, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}};
  const auto row_major = to_eigen<double, 3>(x);
  const auto column_major = to_eigen<float, 3, Eigen::ColMajor>(x);
  EXPECT_EQ(row_major(1, 2, 0), 10);
  EXPECT_EQ(column_major(1, 2, 0), 10);
  EXPECT_EQ(column_major.data()[1], 6);
  EXPECT_EQ(from_eigen(row_major).values, x.values);
  EXPECT_EQ(from_eigen(column_major).values, x.values);
  EXPECT_EQ(from_eigen(column_major).dtype, "float32");
  EXPECT_THROW((to_eigen<double, 2>(x)), std::runtime_error);
  const Elements<float> elements(x, Eigen::ColMajor);
  EXPECT_EQ(elements.view().data[1], 6);
  EXPECT_EQ(elements.tensor().values, x.values);
}

// A comparison that could not fail would make every golden test worthless.
TEST(Golden, ComparisonsFail) {
  static const Tensor wanted{"set/case out", "float64", {2, 2}, {1, 2, 3, 4}};
  static Tensor found = wanted;
  compare(found, wanted, 0);
  found.values[2] = 3.25;
  compare(found, wanted, 0.25);
  EXPECT_NONFATAL_FAILURE(compare(found, wanted, 0.24),
                          "set/case out[1, 0]: found 3.25, wanted 3, off by 0.25");
  found.values[1] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NONFATAL_FAILURE(compare(found, wanted, 100), "out[0, 1]: found nan, wanted 2");
  EXPECT_NONFATAL_FAILURE(compare(std::vector<double>{1, 2, 3, 4}, wanted, 0),
                          "found shape [4], wanted [2, 2]");
  static Tensor zero{"zero", "float64", {1}, {0.0}}, minus_zero{"zero", "float64", {1}, {-0.0}};
  EXPECT_FATAL_FAILURE(expect_same_bits(minus_zero, zero, "negated"), "negated: entry 0");
}

// Truncating to 16 bits, or rounding twice by way of a coarser type, is not rounding once.
TEST(Golden, SixteenBitResultsMustBeRoundedOnce) {
  std::vector<double> exact(100), rounded;
  Random random(1);
  SCOPED_TRACE(random.replay());
  random.fill(exact);
  for (const double value : exact)
    rounded.push_back(static_cast<double>(static_cast<Eigen::bfloat16>(static_cast<float>(value))));
  Json json = case_of(nullptr, {call("rotate_half", {{"x", "@x"}}, {"out"})},
                      {{"x", tensor({100}, rounded, "bfloat16")}});
  json["dtype"] = "bfloat16";
  json["tags"] = {"half"};
  add_output(json, "out", {100}, exact);
  json["outputs"]["out"] = tensor({100}, rounded, "bfloat16");
  json["tolerance"]["f32_atol"]["out"] = 0.02;
  static const Case c = parse("lucidrains", "small", json.dump());
  static Tensor found = c.output("out");
  Session(c, false).check("out", found);
  for (std::size_t n = 0; n < found.values.size(); ++n) {
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(exact[n])) & 0xffff0000u;
    found.values[n] = std::bit_cast<float>(bits);
  }
  ::testing::TestPartResultArray failures;
  {
    const ::testing::ScopedFakeTestPartResultReporter reporter(&failures);
    Session(c, false).check("out", found);
  }
  EXPECT_GT(failures.size(), 10);
}

TEST(Golden, MissingResultsAreFailures) {
  static const Case c = parse("lucidrains", "small", rotation().dump());
  EXPECT_NONFATAL_FAILURE(Session(c, true).check(), "was not computed");
}

}  // namespace
}  // namespace rotary::testing::golden
