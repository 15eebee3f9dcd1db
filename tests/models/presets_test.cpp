// Published models: what presets say, what their configurations say, and numbers computed apart from both.
#include <gtest/gtest.h>
#include <rotary/presets.hpp>

#include <cmath>
#include <fstream>
#include <map>
#include <set>

#include "support/compiled_from_config.hpp"
#include "support/errors.hpp"
#include "support/model_configs.hpp"

namespace rotary::testing {
namespace {

/// Lengths on both sides of every limit there is.
constexpr double kLengths[] = {0, 1, 4096, 4097, 32769, 200000, 1e7};

void expect_same(const RopeParameters& a, const RopeParameters& b) {
  EXPECT_EQ(a.rope_type(), b.rope_type());
  EXPECT_EQ(a.theta, b.theta);
  EXPECT_EQ(a.head_dim, b.head_dim);
  EXPECT_EQ(a.rotary_dim, b.rotary_dim);
  EXPECT_EQ(a.start_index, b.start_index);
  EXPECT_EQ(a.pairing, b.pairing);
  EXPECT_EQ(a.output_pairing, b.output_pairing);
  EXPECT_EQ(a.softmax_scale, b.softmax_scale);
  EXPECT_EQ(a.mrope_section, b.mrope_section);
  if (!a.mrope_section.empty()) {
    EXPECT_EQ(a.axis_of_pair(), b.axis_of_pair());
  }
  for (const double length : kLengths) {
    EXPECT_EQ(a.frequencies(length).values, b.frequencies(length).values) << "at length " << length;
    EXPECT_EQ(a.frequencies(length).magnitude, b.frequencies(length).magnitude) << "at length " << length;
  }
}

TEST(Presets, SayWhatConfigurationsSay) {
  std::set<std::string> read;
  for (const auto& file : config_files()) {
    SCOPED_TRACE(file.filename().string());
    const auto json = nlohmann::json::parse(text_of(file));
    const std::string name = json.at("_name_or_path");
    EXPECT_TRUE(read.insert(name).second) << name << " has two files";
    const ModelConfiguration config = from_config(text_of(file)), known = preset(name);
    EXPECT_EQ(known.model_type, config.model_type);
    ASSERT_EQ(known.layer_count(), config.layer_count());
    for (Index i = 0; i < known.layer_count(); ++i) {
      ASSERT_EQ(known.has_rope(i), config.has_rope(i)) << "layer " << i;
      const auto name_of = [i](const ModelConfiguration& model) {
        return model.layer_types[model.layers[static_cast<std::size_t>(i)].type].name;
      };
      EXPECT_EQ(name_of(known), name_of(config)) << "layer " << i;
      const auto temperature = known.query_temperature(i), wanted = config.query_temperature(i);
      ASSERT_EQ(temperature.has_value(), wanted.has_value()) << "layer " << i;
      if (wanted) {
        EXPECT_EQ(temperature->at(100000), wanted->at(100000)) << "layer " << i;
      }
    }
    for (const auto& type : config.layer_types)
      if (type.rope) expect_same(known.layer(type.name), *type.rope);
  }
  EXPECT_GE(read.size(), 40u);
  for (const std::string_view name : preset_names())
    EXPECT_TRUE(read.contains(std::string(name))) << name << " has no file in tests/configs";
}

struct Numbers {
  const char* model;
  const char* layer_type;
  Index pairs;
  double frequencies[3];  ///< of the pairs 1, pairs/2 and the last
  double magnitude;
  double last_of_long;  ///< of the last pair for 200000 tokens
};

// From a program of its own, in Python's floats and libm, that follows the published formulas and reads the
// same configurations.
constexpr Numbers kNumbers[] = {
    {"EleutherAI/gpt-j-6b",
     "full_attention",
     32,
     {0.7498942093324559, 0.01, 0.0001333521432163324},
     1.0,
     0.0001333521432163324},
    {"EleutherAI/gpt-neox-20b",
     "full_attention",
     12,
     {0.4641588833612779, 0.01, 0.00021544346900318845},
     1.0,
     0.00021544346900318845},
    {"EleutherAI/pythia-1.4b",
     "full_attention",
     16,
     {0.5623413251903491, 0.01, 0.00017782794100389227},
     1.0,
     0.00017782794100389227},
    {"Salesforce/codegen-350M-mono",
     "full_attention",
     16,
     {0.5623413251903491, 0.01, 0.00017782794100389227},
     1.0,
     0.00017782794100389227},
    {"huggyllama/llama-7b",
     "full_attention",
     64,
     {0.8659643233600653, 0.01, 0.00011547819846894582},
     1.0,
     0.00011547819846894582},
    {"meta-llama/Llama-2-7b-hf",
     "full_attention",
     64,
     {0.8659643233600653, 0.01, 0.00011547819846894582},
     1.0,
     0.00011547819846894582},
    {"codellama/CodeLlama-7b-hf",
     "full_attention",
     64,
     {0.8058421877614819, 0.001, 1.2409377607517195e-06},
     1.0,
     1.2409377607517195e-06},
    {"lmsys/vicuna-7b-v1.5-16k",
     "full_attention",
     64,
     {0.21649108084001634, 0.0025, 2.8869549617236455e-05},
     1.0,
     2.8869549617236455e-05},
    {"NousResearch/Yarn-Llama-2-7b-128k",
     "full_attention",
     64,
     {0.8659643233600653, 0.005528846153846153, 3.608693702154557e-06},
     1.3465735902799727,
     3.608693702154557e-06},
    {"meta-llama/Meta-Llama-3-8B",
     "full_attention",
     64,
     {0.8146172338565447, 0.001414213562373095, 2.455140791131609e-06},
     1.0,
     2.455140791131609e-06},
    {"meta-llama/Llama-3.1-8B",
     "full_attention",
     64,
     {0.8146172338565447, 0.0005248461609929546, 3.068925988914511e-07},
     1.0,
     3.068925988914511e-07},
    {"meta-llama/Llama-3.1-70B",
     "full_attention",
     64,
     {0.8146172338565447, 0.0005248461609929546, 3.068925988914511e-07},
     1.0,
     3.068925988914511e-07},
    {"meta-llama/Llama-3.2-1B",
     "full_attention",
     32,
     {0.6636012376960885, 0.0004295567965593682, 9.41830672543491e-08},
     1.0,
     9.41830672543491e-08},
    {"meta-llama/Llama-3.2-3B",
     "full_attention",
     64,
     {0.8146172338565447, 0.0004295567965593682, 7.672314972286278e-08},
     1.0,
     7.672314972286278e-08},
    {"meta-llama/Llama-4-Scout-17B-16E-Instruct",
     "full_attention",
     64,
     {0.8146172338565447, 0.001414213562373095, 1.5344629944572555e-07},
     1.0,
     1.5344629944572555e-07},
    {"meta-llama/Llama-4-Maverick-17B-128E-Instruct",
     "full_attention",
     64,
     {0.8146172338565447, 0.001414213562373095, 2.455140791131609e-06},
     1.0,
     2.455140791131609e-06},
    {"mistralai/Mistral-7B-v0.1",
     "full_attention",
     64,
     {0.8659643233600653, 0.01, 0.00011547819846894582},
     1.0,
     0.00011547819846894582},
    {"mistralai/Mistral-7B-Instruct-v0.3",
     "full_attention",
     64,
     {0.8058421877614819, 0.001, 1.2409377607517195e-06},
     1.0,
     1.2409377607517195e-06},
    {"mistralai/Mistral-Nemo-Instruct-2407",
     "full_attention",
     64,
     {0.8058421877614819, 0.001, 1.2409377607517195e-06},
     1.0,
     1.2409377607517195e-06},
    {"mistralai/Mixtral-8x7B-v0.1",
     "full_attention",
     64,
     {0.8058421877614819, 0.001, 1.2409377607517195e-06},
     1.0,
     1.2409377607517195e-06},
    {"mistralai/Ministral-3-8B-Instruct-2512",
     "full_attention",
     64,
     {0.8058421877614819, 0.00033823529411764706, 7.755861004698247e-08},
     1.0,
     7.755861004698247e-08},
    {"Qwen/Qwen-7B",
     "full_attention",
     64,
     {0.8659643233600653, 0.01, 0.00011547819846894582},
     1.0,
     1.8329872772848544e-06},
    {"Qwen/Qwen1.5-7B",
     "full_attention",
     64,
     {0.8058421877614819, 0.001, 1.2409377607517195e-06},
     1.0,
     1.2409377607517195e-06},
    {"Qwen/Qwen2-7B",
     "full_attention",
     64,
     {0.8058421877614819, 0.001, 1.2409377607517195e-06},
     1.0,
     1.2409377607517195e-06},
    {"Qwen/Qwen2.5-7B-Instruct",
     "full_attention",
     64,
     {0.8058421877614819, 0.001, 1.2409377607517195e-06},
     1.0,
     1.2409377607517195e-06},
    {"Qwen/Qwen2.5-7B-Instruct, YaRN x4",
     "full_attention",
     64,
     {0.8058421877614819, 0.0006029411764705882, 3.102344401879299e-07},
     1.138629436111989,
     3.102344401879299e-07},
    {"Qwen/Qwen2.5-7B-Instruct-1M",
     "full_attention",
     64,
     {0.7773650302387758, 0.00031622776601683794, 1.2863969449369746e-07},
     1.0,
     1.2863969449369746e-07},
    {"Qwen/Qwen3-8B",
     "full_attention",
     64,
     {0.8058421877614819, 0.001, 1.2409377607517195e-06},
     1.0,
     1.2409377607517195e-06},
    {"Qwen/Qwen3-30B-A3B",
     "full_attention",
     64,
     {0.8058421877614819, 0.001, 1.2409377607517195e-06},
     1.0,
     1.2409377607517195e-06},
    {"Qwen/Qwen3-Next-80B-A3B-Instruct",
     "full_attention",
     32,
     {0.6042963902381329, 0.00031622776601683794, 1.6548170999431814e-07},
     1.0,
     1.6548170999431814e-07},
    {"Qwen/Qwen2-VL-7B-Instruct",
     "full_attention",
     64,
     {0.8058421877614819, 0.001, 1.2409377607517195e-06},
     1.0,
     1.2409377607517195e-06},
    {"Qwen/Qwen2.5-VL-7B-Instruct",
     "full_attention",
     64,
     {0.8058421877614819, 0.001, 1.2409377607517195e-06},
     1.0,
     1.2409377607517195e-06},
    {"Qwen/Qwen3-VL-8B-Instruct",
     "full_attention",
     64,
     {0.7858299804196346, 0.00044721359549995795, 2.545079788037606e-07},
     1.0,
     2.545079788037606e-07},
    {"Qwen/Qwen3.5-0.8B",
     "full_attention",
     32,
     {0.6042963902381329, 0.00031622776601683794, 1.6548170999431814e-07},
     1.0,
     1.6548170999431814e-07},
    {"google/gemma-2b",
     "full_attention",
     128,
     {0.930572040929699, 0.01, 0.00010746078283213175},
     1.0,
     0.00010746078283213175},
    {"google/gemma-2-9b",
     "full_attention",
     128,
     {0.930572040929699, 0.01, 0.00010746078283213175},
     1.0,
     0.00010746078283213175},
    {"google/gemma-2-9b",
     "sliding_attention",
     128,
     {0.930572040929699, 0.01, 0.00010746078283213175},
     1.0,
     0.00010746078283213175},
    {"google/gemma-3-1b-it",
     "full_attention",
     128,
     {0.8976871324473142, 0.001, 1.1139738599948023e-06},
     1.0,
     1.1139738599948023e-06},
    {"google/gemma-3-1b-it",
     "sliding_attention",
     128,
     {0.930572040929699, 0.01, 0.00010746078283213175},
     1.0,
     0.00010746078283213175},
    {"google/gemma-3-4b-it",
     "full_attention",
     128,
     {0.11221089155591428, 0.000125, 1.3924673249935028e-07},
     1.0,
     1.3924673249935028e-07},
    {"google/gemma-3-4b-it",
     "sliding_attention",
     128,
     {0.930572040929699, 0.01, 0.00010746078283213175},
     1.0,
     0.00010746078283213175},
    {"google/gemma-3-27b-it",
     "full_attention",
     64,
     {0.10073027347018523, 0.000125, 1.5511722009396494e-07},
     1.0,
     1.5511722009396494e-07},
    {"google/gemma-3-27b-it",
     "sliding_attention",
     64,
     {0.8659643233600653, 0.01, 0.00011547819846894582},
     1.0,
     0.00011547819846894582},
    {"google/gemma-3n-E4B-it",
     "full_attention",
     128,
     {0.8976871324473142, 0.001, 1.1139738599948023e-06},
     1.0,
     1.1139738599948023e-06},
    {"google/gemma-3n-E4B-it",
     "sliding_attention",
     128,
     {0.930572040929699, 0.01, 0.00010746078283213175},
     1.0,
     0.00010746078283213175},
    {"google/gemma-4-E2B-it", "full_attention", 256, {0.9474635256553754, 0.0, 0.0}, 1.0, 0.0},
    {"google/gemma-4-E2B-it",
     "sliding_attention",
     128,
     {0.930572040929699, 0.01, 0.00010746078283213175},
     1.0,
     0.00010746078283213175},
    {"google/gemma-4-26B-A4B-it", "full_attention", 256, {0.9474635256553754, 0.0, 0.0}, 1.0, 0.0},
    {"google/gemma-4-26B-A4B-it",
     "sliding_attention",
     128,
     {0.930572040929699, 0.01, 0.00010746078283213175},
     1.0,
     0.00010746078283213175},
    {"answerdotai/ModernBERT-base",
     "full_attention",
     32,
     {0.6876560219336321, 0.0025, 9.088846459055961e-06},
     1.0,
     9.088846459055961e-06},
    {"answerdotai/ModernBERT-base",
     "sliding_attention",
     32,
     {0.7498942093324559, 0.01, 0.0001333521432163324},
     1.0,
     0.0001333521432163324},
    {"nomic-ai/nomic-embed-text-v1.5",
     "full_attention",
     32,
     {0.8058421877614819, 0.03162277660168379, 0.0012409377607517195},
     1.0,
     0.0012409377607517195},
    {"microsoft/phi-1_5",
     "full_attention",
     16,
     {0.5623413251903491, 0.01, 0.00017782794100389227},
     1.0,
     0.00017782794100389227},
    {"microsoft/phi-2",
     "full_attention",
     16,
     {0.5623413251903491, 0.01, 0.00017782794100389227},
     1.0,
     0.00017782794100389227},
    {"microsoft/Phi-3-mini-4k-instruct",
     "full_attention",
     48,
     {0.8254041852680184, 0.01, 0.00012115276586285888},
     1.0,
     0.00012115276586285888},
    {"microsoft/Phi-3-vision-128k-instruct",
     "full_attention",
     48,
     {0.7860992240647795, 0.0049999999999999975, 3.972221831569147e-05},
     1.1902380714238083,
     1.8693525984053542e-06},
    {"microsoft/Phi-3.5-mini-instruct",
     "full_attention",
     48,
     {0.8092198046104523, 0.005025126507136654, 4.2659433051390916e-05},
     1.1902380714238083,
     1.8684881663397117e-06},
    {"microsoft/Phi-4-mini-instruct",
     "full_attention",
     48,
     {0.8254041852680185, 0.01, 0.00012115276586285887},
     1.1902380714238083,
     2.536168429199474e-06},
    {"microsoft/phi-4",
     "full_attention",
     64,
     {0.8234878339386535, 0.002, 4.857388093845213e-06},
     1.0,
     4.857388093845213e-06},
    {"deepseek-ai/DeepSeek-V2",
     "full_attention",
     32,
     {0.7498942093324559, 0.0055, 3.3338035804083097e-06},
     1.0,
     3.3338035804083097e-06},
    {"deepseek-ai/DeepSeek-V2-Lite",
     "full_attention",
     32,
     {0.7498942093324559, 0.0055, 3.3338035804083097e-06},
     1.0,
     3.3338035804083097e-06},
    {"deepseek-ai/DeepSeek-V3",
     "full_attention",
     32,
     {0.7498942093324559, 0.0055, 3.3338035804083097e-06},
     1.0,
     3.3338035804083097e-06},
    {"deepseek-ai/DeepSeek-R1",
     "full_attention",
     32,
     {0.7498942093324559, 0.0055, 3.3338035804083097e-06},
     1.0,
     3.3338035804083097e-06},
    {"moonshotai/Kimi-K2-Instruct",
     "full_attention",
     32,
     {0.713111084911932, 0.00447213595499958, 8.764412911589874e-07},
     1.0,
     8.764412911589874e-07},
    {"openai/gpt-oss-20b",
     "full_attention",
     32,
     {0.6890443058881632, 0.00045648391922324086, 3.0235114281192144e-07},
     1.3465735902799727,
     3.0235114281192144e-07},
    {"openai/gpt-oss-20b",
     "sliding_attention",
     32,
     {0.6890443058881632, 0.00045648391922324086, 3.0235114281192144e-07},
     1.3465735902799727,
     3.0235114281192144e-07},
    {"openai/gpt-oss-120b",
     "full_attention",
     32,
     {0.6890443058881632, 0.00045648391922324086, 3.0235114281192144e-07},
     1.3465735902799727,
     3.0235114281192144e-07},
    {"openai/gpt-oss-120b",
     "sliding_attention",
     32,
     {0.6890443058881632, 0.00045648391922324086, 3.0235114281192144e-07},
     1.3465735902799727,
     3.0235114281192144e-07},
    {"zai-org/chatglm3-6b",
     "full_attention",
     32,
     {0.7498942093324559, 0.01, 0.0001333521432163324},
     1.0,
     0.0001333521432163324},
    {"zai-org/glm-4-9b-chat",
     "full_attention",
     32,
     {0.6175287581263234, 0.00044721359549995795, 3.2387155637387736e-07},
     1.0,
     3.2387155637387736e-07},
    {"zai-org/GLM-4-9B-0414",
     "full_attention",
     32,
     {0.7498942093324559, 0.01, 0.0001333521432163324},
     1.0,
     0.0001333521432163324},
    {"zai-org/GLM-4.5",
     "full_attention",
     32,
     {0.6493816315762113, 0.001, 1.539926526059492e-06},
     1.0,
     1.539926526059492e-06},
    {"zai-org/GLM-4.1V-9B-Thinking",
     "full_attention",
     32,
     {0.7498942093324559, 0.01, 0.0001333521432163324},
     1.0,
     0.0001333521432163324},
    {"CohereForAI/c4ai-command-r-v01",
     "full_attention",
     64,
     {0.7800801356546244, 0.00035355339059327376, 1.602399475216774e-07},
     1.0,
     1.602399475216774e-07},
    {"CohereForAI/c4ai-command-r7b-12-2024",
     "sliding_attention",
     64,
     {0.844459048688527, 0.00447213595499958, 2.3683800926830812e-05},
     1.0,
     2.3683800926830812e-05},
    {"HuggingFaceTB/SmolLM3-3B",
     "full_attention",
     64,
     {0.7858299804196346, 0.00044721359549995795, 2.545079788037606e-07},
     1.0,
     2.545079788037606e-07},
    {"LGAI-EXAONE/EXAONE-4.0-32B",
     "sliding_attention",
     64,
     {0.8058421877614819, 0.00015743665431525213, 7.755861004698247e-08},
     1.0,
     7.755861004698247e-08},
    {"LGAI-EXAONE/EXAONE-4.0-1.2B",
     "full_attention",
     32,
     {0.6493816315762113, 0.00015743665431525213, 9.624540787871825e-08},
     1.0,
     9.624540787871825e-08},
    {"stabilityai/stablelm-2-1_6b",
     "full_attention",
     8,
     {0.31622776601683794, 0.01, 0.00031622776601683794},
     1.0,
     0.00031622776601683794},
    {"adept/persimmon-8b-base",
     "full_attention",
     16,
     {0.5310418517502372, 0.006324555320336759, 7.53236300833273e-05},
     1.0,
     7.53236300833273e-05},
    {"nvidia/Minitron-8B-Base",
     "full_attention",
     32,
     {0.7498942093324559, 0.01, 0.0001333521432163324},
     1.0,
     0.0001333521432163324},
    {"tiiuae/falcon-7b",
     "full_attention",
     32,
     {0.7498942093324559, 0.01, 0.0001333521432163324},
     1.0,
     0.0001333521432163324},
    {"internlm/internlm2-chat-7b",
     "full_attention",
     64,
     {0.8058421877614819, 0.001, 1.2409377607517195e-06},
     1.0,
     1.1072850008798893e-07},
    {"internlm/internlm3-8b-instruct",
     "full_attention",
     64,
     {0.7580600218863907, 0.0001414213562373095, 2.6383135137810195e-08},
     1.0,
     8.343523897812738e-10},
    {"tencent/Hunyuan-7B-Instruct",
     "full_attention",
     64,
     {0.7760343630469744, 0.00029935772947204905, 1.1547819846894587e-07},
     1.0,
     1.1547819846894587e-07},
    {"tencent/HunyuanOCR",
     "full_attention",
     64,
     {0.7760343630469744, 0.00029935772947204905, 1.1547819846894587e-07},
     1.0,
     1.1547819846894587e-07},
    {"baidu/ERNIE-4.5-0.3B-PT",
     "full_attention",
     64,
     {0.8146172338565447, 0.001414213562373095, 2.455140791131609e-06},
     1.0,
     2.455140791131609e-06},
    {"baidu/ERNIE-4.5-VL-28B-A3B-PT",
     "full_attention",
     64,
     {0.8146172338565447, 0.001414213562373095, 2.455140791131609e-06},
     1.0,
     2.455140791131609e-06},
    {"ibm-granite/granite-3.3-8b-instruct",
     "full_attention",
     64,
     {0.7773650302387758, 0.00031622776601683794, 1.2863969449369746e-07},
     1.0,
     1.2863969449369746e-07},
    {"bigcode/starcoder2-7b",
     "full_attention",
     64,
     {0.8058421877614819, 0.001, 1.2409377607517195e-06},
     1.0,
     1.2409377607517195e-06},
    {"allenai/OLMo-2-1124-7B",
     "full_attention",
     64,
     {0.8146172338565447, 0.001414213562373095, 2.455140791131609e-06},
     1.0,
     2.455140791131609e-06},
    {"swiss-ai/Apertus-8B-2509",
     "full_attention",
     64,
     {0.7751536440651737, 3.608439182435161e-05, 1.3438196087214485e-08},
     1.0,
     1.3438196087214485e-08},
    {"MiniMaxAI/MiniMax-M2",
     "full_attention",
     32,
     {0.6175287581263234, 0.00044721359549995795, 3.2387155637387736e-07},
     1.0,
     3.2387155637387736e-07},
    {"ByteDance-Seed/Seed-OSS-36B-Instruct",
     "full_attention",
     64,
     {0.7773650302387758, 0.00031622776601683794, 1.2863969449369746e-07},
     1.0,
     1.2863969449369746e-07},
    {"arcee-ai/AFM-4.5B",
     "full_attention",
     64,
     {0.8659643233600653, 0.005615384615384615, 5.773909923447291e-06},
     1.299573227355399,
     5.773909923447291e-06},
};

TEST(Presets, HaveTheNumbersOfAnotherProgram) {
  std::set<std::string> tested;
  for (const Numbers& wanted : kNumbers) {
    SCOPED_TRACE(std::string(wanted.model) + ", " + wanted.layer_type);
    tested.insert(wanted.model);
    const ModelConfiguration model = preset(wanted.model);
    const RopeParameters& rope = model.layer(wanted.layer_type);
    const Frequencies found = rope.frequencies(), of_long = rope.frequencies(200000);
    ASSERT_EQ(found.pairs(), wanted.pairs);
    const auto last = static_cast<std::size_t>(wanted.pairs - 1),
               middle = static_cast<std::size_t>(wanted.pairs / 2);
    const auto near = [](double a, double b) { return std::fabs(a - b) <= 1e-13 * std::fabs(b); };
    EXPECT_PRED2(near, found.values[1].hi, wanted.frequencies[0]);
    EXPECT_PRED2(near, found.values[middle].hi, wanted.frequencies[1]);
    EXPECT_PRED2(near, found.values[last].hi, wanted.frequencies[2]);
    EXPECT_PRED2(near, found.magnitude, wanted.magnitude);
    EXPECT_PRED2(near, of_long.values[last].hi, wanted.last_of_long);
  }
  for (const std::string_view name : preset_names())
    EXPECT_TRUE(tested.contains(std::string(name))) << name << " has no numbers here";
}

// The models that golden/expected_frequencies.json has complete lists of.
TEST(Presets, HaveTheExpectedFrequencies) {
  const std::map<std::string, std::pair<const char*, const char*>> models = {
      {"llama31_8b", {"meta-llama/Llama-3.1-8B", "full_attention"}},
      {"llama32_1b", {"meta-llama/Llama-3.2-1B", "full_attention"}},
      {"llama4_scout", {"meta-llama/Llama-4-Scout-17B-16E-Instruct", "full_attention"}},
      {"qwen25_yarn4", {"Qwen/Qwen2.5-7B-Instruct, YaRN x4", "full_attention"}},
      {"gpt_oss", {"openai/gpt-oss-20b", "sliding_attention"}},
      {"deepseek_v3", {"deepseek-ai/DeepSeek-V3", "full_attention"}},
      {"deepseek_v2", {"deepseek-ai/DeepSeek-V2", "full_attention"}},
      {"gemma3_full", {"google/gemma-3-4b-it", "full_attention"}},
      {"gemma3_sliding", {"google/gemma-3-4b-it", "sliding_attention"}},
      {"gemma4_full", {"google/gemma-4-E2B-it", "full_attention"}},
      {"gpt_neox_20b", {"EleutherAI/gpt-neox-20b", "full_attention"}},
      {"phi2", {"microsoft/phi-2", "full_attention"}},
  };
  std::ifstream stream(ROTARY_TEST_DATA_DIR "/expected_frequencies.json");
  const auto file = nlohmann::json::parse(stream);
  const double tolerance = file.at("tolerances").at("derived").at("rtol");
  std::size_t found = 0;
  for (const auto& entry : file.at("derived")) {
    const auto model = models.find(entry.at("id"));
    if (model == models.end()) continue;
    SCOPED_TRACE(model->first);
    ++found;
    const ModelConfiguration configuration = preset(model->second.first);
    const Frequencies frequencies = configuration.layer(model->second.second).frequencies();
    const std::vector<double> wanted = entry.at("inv_freq");
    ASSERT_EQ(frequencies.values.size(), wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i)
      EXPECT_NEAR(frequencies.values[i].hi, wanted[i], tolerance * wanted[i]) << "pair " << i;
    EXPECT_NEAR(frequencies.magnitude, entry.at("attention_factor").get<double>(), tolerance);
  }
  EXPECT_EQ(found, models.size());
}

TEST(Presets, LayersWithoutRope) {
  const ModelConfiguration smollm = preset("HuggingFaceTB/SmolLM3-3B"),
                           command = preset("CohereForAI/c4ai-command-r7b-12-2024"),
                           hybrid = preset("Qwen/Qwen3.5-0.8B");
  for (Index i = 0; i < smollm.layer_count(); ++i) EXPECT_EQ(smollm.has_rope(i), i % 4 != 3);
  for (Index i = 0; i < command.layer_count(); ++i) EXPECT_EQ(command.has_rope(i), i % 4 != 3);
  for (Index i = 0; i < hybrid.layer_count(); ++i) EXPECT_EQ(hybrid.has_rope(i), i % 4 == 3);
  EXPECT_THROW(smollm.layer(3), std::invalid_argument);
  EXPECT_THROW(command.layer("full_attention"), std::invalid_argument);
  EXPECT_THROW(hybrid.layer("linear_attention"), std::invalid_argument);
  EXPECT_THROW(smollm.layer(36), std::invalid_argument);
  EXPECT_THROW(smollm.layer(-1), std::invalid_argument);
  EXPECT_THROW(smollm.layer("sliding_attention"), std::invalid_argument);
}

TEST(Presets, PairingsOfTheWeights) {
  for (const char* name :
       {"EleutherAI/gpt-j-6b", "zai-org/GLM-4-9B-0414", "CohereForAI/c4ai-command-r-v01",
        "meta-llama/Llama-4-Scout-17B-16E-Instruct", "baidu/ERNIE-4.5-0.3B-PT", "deepseek-ai/DeepSeek-V3"})
    EXPECT_EQ(preset(name).layer(0).pairing, Pairing::interleaved) << name;
  for (const char* name : {"EleutherAI/gpt-neox-20b", "zai-org/GLM-4.5", "meta-llama/Llama-3.1-8B",
                           "google/gemma-3-1b-it", "openai/gpt-oss-20b", "Qwen/Qwen3-VL-8B-Instruct"})
    EXPECT_EQ(preset(name).layer(0).pairing, Pairing::half) << name;
}

TEST(Presets, UnknownNames) {
  expect_error([] { preset("openai/gpt-9"); }, {"openai/gpt-9"});
}

TEST(RopeParameters, RefuseNonsense) {
  EXPECT_THROW(RopeParameters{}.frequencies(), std::invalid_argument);
  EXPECT_THROW((RopeParameters{.head_dim = 7}.frequencies()), std::invalid_argument);
  EXPECT_THROW((RopeParameters{.head_dim = 64, .rotary_dim = 66}.frequencies()), std::invalid_argument);
  EXPECT_THROW((RopeParameters{.head_dim = 64, .rotary_dim = 32, .start_index = 33}.frequencies()),
               std::invalid_argument);
  EXPECT_THROW((RopeParameters{.head_dim = 64, .rotary_dim = 32, .start_index = -1}.frequencies()),
               std::invalid_argument);
  EXPECT_THROW((RopeParameters{.theta = 0, .head_dim = 64}.frequencies()), std::invalid_argument);
  EXPECT_THROW((RopeParameters{.theta = NAN, .head_dim = 64}.frequencies()), std::invalid_argument);
  EXPECT_THROW((RopeParameters{.head_dim = 64}.frequencies(-1)), std::invalid_argument);
  EXPECT_THROW((RopeParameters{.head_dim = 64}.frequencies_on_axes()), std::invalid_argument);
  EXPECT_THROW((RopeParameters{.head_dim = 64, .mrope_section = {16, 8, 9}}.frequencies_on_axes()),
               std::invalid_argument);
}

// Text, whose coordinates are equal, rotates as in plain RoPE.
TEST(RopeParameters, AxesAddUpToPlainRope) {
  for (const std::string_view name : preset_names()) {
    const ModelConfiguration model = preset(name);
    for (const auto& type : model.layer_types) {
      if (!type.rope || type.rope->mrope_section.empty()) continue;
      const Frequencies plain = type.rope->frequencies(), dealt = type.rope->frequencies_on_axes();
      ASSERT_EQ(dealt.axes, static_cast<Index>(type.rope->mrope_section.size())) << name;
      for (Index i = 0; i < plain.pairs(); ++i) {
        DoubleDouble sum = 0;
        for (Index axis = 0; axis < dealt.axes; ++axis)
          sum = sum + dealt.values[static_cast<std::size_t>(axis * plain.pairs() + i)];
        EXPECT_EQ(sum, plain.values[static_cast<std::size_t>(i)]) << name;
      }
    }
  }
}

}  // namespace
}  // namespace rotary::testing
