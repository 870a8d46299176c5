// Compiled programs against the plainest evaluation of the same program: random ones of every operation and type, over rows
// of NULLs, extremes, NaN, infinities and what lies between; at every level of optimization, by both entry points.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <random>

#include "../program_reference.hpp"
#include "core/native_code.hpp"

extern "C" const pgstream::JitInterface *pgstream_jit_interface();

namespace pgstream {
namespace {

// What the frame's state is here.
struct Run {
  const Program *program;
  Values *values;
  std::jmp_buf raised;
  int error;
};

void Raise(NativeFrame *frame, int32_t error) {
  Run *const run = static_cast<Run *>(frame->state);
  run->error = error;
  std::longjmp(run->raised, 1);
}

int64_t CallTestFunction(NativeFrame *frame, int32_t function, const int64_t *words, const uint8_t *nulls, uint8_t *isnull) {
  const Run *const run = static_cast<const Run *>(frame->state);
  std::vector<Word> arguments;
  for (int i = 0; i < run->program->functions[function].narguments; i++) arguments.push_back({words[i], nulls[i] != 0});
  const Word result = TestFunction(arguments);
  *isnull = result.null;
  return result.null ? 0x5555555555555555 : result.value;  // what lies in a NULL's word does not count
}

int64_t WordOfBytes(const uint8_t *data, size_t size) {
  int64_t word = static_cast<int64_t>(size) << 32;
  for (size_t i = 0; i < size; i++) word += data[i];
  return word;
}

int64_t MakeReference(NativeFrame *frame, int32_t column, const uint8_t *data, int32_t size) {
  const Run *const run = static_cast<const Run *>(frame->state);
  const ValueType type = run->program->columns[column].type;
  return IsReference(type) ? run->values->Keep(type, {data, data + size}) : WordOfBytes(data, static_cast<size_t>(size));
}

int32_t EqualTexts(NativeFrame *, int64_t a, int64_t b) {
  return BytesOf(ValueType::kText, a) == BytesOf(ValueType::kText, b) ? 5 : 0;
}

int32_t CompareNumerics(NativeFrame *, int64_t a, int64_t b) {
  return NumericOrder(a, b);
}

int64_t ComputeNumeric(NativeFrame *frame, int32_t operation, int64_t a, int64_t b) {
  return static_cast<const Run *>(frame->state)->values->Keep(ValueType::kNumeric, NumericResult(static_cast<Operation>(operation), a, b));
}

int64_t MakeNumeric(NativeFrame *frame, int64_t value) {
  return static_cast<const Run *>(frame->state)->values->Keep(ValueType::kNumeric, NumericOf(value));
}

constexpr NativeFunctions kFunctions = {Raise, CallTestFunction, MakeReference, EqualTexts, CompareNumerics, ComputeNumeric, MakeNumeric};

[[noreturn]] void Fatal(const char *reason) {
  ADD_FAILURE() << reason;
  std::abort();
}

// Compiled code, mapped executable for as long as this lives.
class Mapped {
 public:
  Mapped(const OwnedProgram &program, int optimization) {
    const std::vector<uint64_t> bytes = program.Bytes();
    const CompileRequest request = {reinterpret_cast<const uint8_t *>(bytes.data()), ProgramSize(program.View()), optimization, false, Fatal};
    pgstream_jit_interface()->compile(&request, &result_);
    failure = result_.failure;
    if (!failure.empty()) return;
    memory_ = mmap(nullptr, result_.code.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::memcpy(memory_, result_.code.bytes, result_.code.size);
    mprotect(memory_, result_.code.size, PROT_READ | PROT_EXEC);
    row = reinterpret_cast<NativeRow>(static_cast<char *>(memory_) + result_.code.row);
    image_row = reinterpret_cast<NativeImageRow>(static_cast<char *>(memory_) + result_.code.image_row);
  }
  ~Mapped() {
    if (memory_ != nullptr) munmap(memory_, result_.code.size);
    pgstream_jit_interface()->release(result_.code.bytes);
    pgstream_jit_interface()->release(result_.ir);
  }
  Mapped(const Mapped &) = delete;
  Mapped &operator=(const Mapped &) = delete;

  std::string failure;
  NativeRow row = nullptr;
  NativeImageRow image_row = nullptr;

 private:
  CompileResult result_ = {};
  void *memory_ = nullptr;
};

struct Row {
  std::vector<Word> words;
  std::vector<uint8_t> image;
};

// Kept in volatile storage over the longjmp: everything that changes between the two returns of setjmp is in `run`.
template <class F>
Outcome RunCompiled(const Program &program, const std::vector<int64_t> &constants, Values *kept, F &&call) {
  Run run = {&program, kept, {}, -1};
  NativeFrame frame = {&kFunctions, constants.data(), &run};
  std::vector<int64_t> outputs(program.noutputs + 1, 0x7777);
  std::vector<uint8_t> nulls(program.noutputs + 1, 9);
  Outcome outcome;
  if (setjmp(run.raised) == 0) {
    outcome.accepted = call(&frame, outputs.data(), nulls.data()) == 1;
  } else {
    outcome.error = static_cast<ProgramError>(run.error);
  }
  for (uint32_t i = 0; i < program.noutputs; i++) outcome.outputs.push_back({outputs[i], nulls[i] != 0});
  return outcome;
}

bool IsNanWord(ValueType type, int64_t word) {
  if (type == ValueType::kFloat64) return (static_cast<uint64_t>(word) & 0x7FFFFFFFFFFFFFFF) > 0x7FF0000000000000;
  return type == ValueType::kFloat32 && (static_cast<uint32_t>(word) & 0x7FFFFFFF) > 0x7F800000;
}

void ExpectSame(const Outcome &expected, const Outcome &got, const std::vector<ValueType> &types, const std::string &where) {
  ASSERT_EQ(expected.error.has_value(), got.error.has_value()) << where;
  if (expected.error) {
    ASSERT_EQ(static_cast<int>(*expected.error), static_cast<int>(*got.error)) << where;
    return;
  }
  ASSERT_EQ(expected.accepted, got.accepted) << where;
  if (!expected.accepted) return;
  for (size_t i = 0; i < types.size(); i++) {
    const Word &e = expected.outputs[i], &g = got.outputs[i];
    ASSERT_EQ(e.null, g.null) << where << ", output " << i;
    // One NaN is as good as another.
    if (e.null || (IsNanWord(types[i], e.value) && IsNanWord(types[i], g.value))) continue;
    if (IsReference(types[i]))
      ASSERT_EQ(BytesOf(types[i], e.value), BytesOf(types[i], g.value)) << where << ", output " << i;
    else
      ASSERT_EQ(e.value, g.value) << where << ", output " << i;
  }
}

class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  uint32_t Pick(uint32_t n) { return random_() % n; }

  OwnedProgram MakeProgram() {
    program_ = OwnedProgram();
    const InputColumn columns[] = {{1, ValueType::kBool, 1},    {2, ValueType::kInt16, 1},   {4, ValueType::kInt32, 1},
                                   {8, ValueType::kInt64, 1},   {4, ValueType::kUInt32, 1},  {4, ValueType::kFloat32, 1},
                                   {8, ValueType::kFloat64, 1}, {-1, ValueType::kWord, 0},   {-2, ValueType::kWord, 0},
                                   {16, ValueType::kWord, 0},   {4, ValueType::kWord, 1},    {2, ValueType::kWord, 1},
                                   {-1, ValueType::kText, 0},   {16, ValueType::kUuid, 0},   {16, ValueType::kInterval, 0},
                                   {-1, ValueType::kNumeric, 0}};
    const uint32_t ncolumns = 1 + Pick(16);
    for (uint32_t i = 0; i < ncolumns; i++) program_.columns.push_back(columns[Pick(16)]);
    for (int type = 0; type < kValueTypes; type++)
      for (int i = 0; i < 3; i++) program_.Register(static_cast<ValueType>(type));
    program_.functions = {{2, 1, 0}, {3, 0, 0}, {0, 0, 0}};
    program_.nconstants = 2 + kValueTypes - static_cast<uint32_t>(ValueType::kText);
    for (uint32_t i = 0; i < ncolumns; i++)
      if (Pick(4) != 0) program_.Add(Operation::kInput, Any(program_.columns[i].type), 0, 0, i);
    const uint32_t operations = 1 + Pick(40);
    for (uint32_t i = 0; i < operations; i++) AddOperation();
    Finish();
    return program_;
  }

  // One operation with its operands straight from columns: nothing before it can raise.
  OwnedProgram MakeSingle(Operation operation, ValueType type, ValueType result) {
    program_ = OwnedProgram();
    static const int16_t lengths[] = {1, 2, 4, 8, 4, 4, 8, 8, -1, 16, 16, -1};
    const int16_t length = lengths[static_cast<int>(type)];
    const uint8_t by_value = !IsReference(type);
    program_.columns = {{length, type, by_value}, {length, type, by_value}};
    const uint16_t a = program_.Register(type), b = program_.Register(type), r = program_.Register(result);
    program_.Add(Operation::kInput, a, 0, 0, 0);
    program_.Add(Operation::kInput, b, 0, 0, 1);
    program_.Add(operation, r, a, b);
    program_.noutputs = 1;
    program_.Add(Operation::kOutput, 0, r);
    program_.Add(Operation::kAccept);
    return program_;
  }

  Row MakeRow(const OwnedProgram &program, Values *values) {
    Row row;
    row.image.assign((program.columns.size() + 7) / 8, 0);
    const bool with_nulls = Pick(3) == 0;
    for (size_t i = 0; i < program.columns.size(); i++) {
      if (with_nulls && Pick(3) == 0) {
        row.image[i / 8] = static_cast<uint8_t>(row.image[i / 8] | 1 << (i % 8));
        row.words.push_back({static_cast<int64_t>(random_()), true});
        continue;
      }
      const InputColumn &column = program.columns[i];
      if (column.by_value != 0) {
        const int64_t word = Special(column);
        const auto *bytes = reinterpret_cast<const uint8_t *>(&word);
        row.image.insert(row.image.end(), bytes, bytes + column.length);
        row.words.push_back({word, false});
        continue;
      }
      const std::vector<uint8_t> bytes = SpecialBytes(column);
      if (column.length < 0) {
        const auto size = static_cast<uint32_t>(bytes.size());
        row.image.insert(row.image.end(), reinterpret_cast<const uint8_t *>(&size), reinterpret_cast<const uint8_t *>(&size) + 4);
      }
      row.words.push_back({IsReference(column.type) ? values->Keep(column.type, bytes) : WordOfBytes(bytes.data(), bytes.size()), false});
      row.image.insert(row.image.end(), bytes.begin(), bytes.end());
    }
    row.image.shrink_to_fit();  // so that a read behind its end is noticed
    return row;
  }

  // The bytes of a value by reference, likely equal to or nearly another one of its type.
  std::vector<uint8_t> SpecialBytes(const InputColumn &column) {
    std::vector<uint8_t> bytes(column.length > 0 ? column.length : Pick(30));
    for (uint8_t &byte : bytes) byte = static_cast<uint8_t>(random_());
    if (column.type == ValueType::kText) bytes.assign(Pick(3), static_cast<uint8_t>('a' + Pick(2)));
    if (column.type == ValueType::kUuid && Pick(4) != 0) {
      bytes.assign(16, 0x80);
      bytes[Pick(16)] = static_cast<uint8_t>(0x7F + Pick(3));
    }
    if (column.type == ValueType::kInterval && Pick(4) != 0) {
      static const int64_t times[] = {0, 1, -1, kDayMicroseconds, -kDayMicroseconds, kDayMicroseconds - 1, 1 - kDayMicroseconds, INT64_MAX, INT64_MIN};
      static const int32_t days[] = {0, 1, -1, 30, -30, 29, INT32_MAX, INT32_MIN};
      static const int32_t months[] = {0, 0, 1, -1, INT32_MAX, INT32_MIN};
      std::memcpy(bytes.data(), &times[Pick(9)], 8);
      std::memcpy(bytes.data() + 8, &days[Pick(8)], 4);
      std::memcpy(bytes.data() + 12, &months[Pick(6)], 4);
    }
    if (column.type == ValueType::kNumeric) {
      bytes = NumericOf(Pick(2) == 0 ? static_cast<int64_t>(Pick(3)) - 1 : Special(ValueType::kInt64));
      if (Pick(8) == 0) bytes = {0, 0xC0};
    }
    return bytes;
  }

  // A word of this type, likely one that is on some edge.
  int64_t Special(const InputColumn &column) { return Special(column.type, column.length); }

  int64_t Special(ValueType type, int length = 8) {
    static const double floats[] = {0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 1e308, -1e308, 1e-308, 4.9e-324, 3.4e38, 1e-45, 1e-300,
                                    2147483647.5, 2147483648.0, -2147483648.5, -2147483649.0, 32767.5, 32767.4, -32768.5, 9.2233720368547758e18,
                                    -9.2233720368547758e18, HUGE_VAL, -HUGE_VAL, NAN, 3.0, 7.0, 1e17};
    static const int64_t integers[] = {0, 1, -1, 2, 3, 7, 10, -7, 100, INT16_MAX, INT16_MIN, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN,
                                       INT16_MAX + 1, INT16_MIN - 1, static_cast<int64_t>(INT32_MAX) + 1, static_cast<int64_t>(INT32_MIN) - 1,
                                       kFirstDate, kFirstDate - 1, kEndOfDates, kEndOfDates - 1, 46341, 3037000500};
    const bool arbitrary = Pick(4) == 0;
    switch (type) {
      case ValueType::kBool:
        return Pick(2);
      case ValueType::kFloat32: {
        const auto value = static_cast<float>(arbitrary ? std::ldexp(static_cast<double>(random_()), static_cast<int>(Pick(300)) - 180) : floats[Pick(30)]);
        int32_t bits;
        std::memcpy(&bits, &value, sizeof(bits));
        return bits;
      }
      case ValueType::kFloat64: {
        const double value = arbitrary ? std::ldexp(static_cast<double>(random_()), static_cast<int>(Pick(2100)) - 1080) : floats[Pick(30)];
        int64_t bits;
        std::memcpy(&bits, &value, sizeof(bits));
        return bits;
      }
      default: {
        const int64_t value = arbitrary ? static_cast<int64_t>(static_cast<uint64_t>(random_()) << 32 | random_()) : integers[Pick(25)];
        const int bits = type == ValueType::kInt16 ? 16 : type == ValueType::kInt32 || type == ValueType::kUInt32 ? 32 : 8 * length;
        return bits == 64 ? value : static_cast<int64_t>(static_cast<uint64_t>(value) << (64 - bits)) >> (64 - bits);
      }
    }
  }

 private:
  uint16_t Any(ValueType type) { return static_cast<uint16_t>(static_cast<int>(type) * 3 + Pick(3)); }
  uint16_t AnyBool() { return Any(ValueType::kBool); }
  ValueType AnyType() { return static_cast<ValueType>(Pick(kValueTypes)); }
  // Where a value is lies elsewhere each time: functions that take words for numbers get none such, and make none.
  ValueType PlainType() { return static_cast<ValueType>(Pick(static_cast<uint32_t>(ValueType::kText))); }

  // Operations that turn out ill formed (types that do not go together) are tried again.
  void AddOperation() {
    for (;;) {
      const auto operation = static_cast<Operation>(Pick(kOperations));
      const ValueType type = AnyType();
      uint16_t result = Any(type);
      const uint16_t a = Any(type), b = Any(type);
      int64_t constant = 0;
      uint32_t target = 0;
      uint16_t first = a;
      if (operation == Operation::kInput || operation == Operation::kOutput || operation == Operation::kAccept || operation == Operation::kReject) continue;
      if (operation == Operation::kConstant) constant = Special(type);
      if (operation == Operation::kBoundConstant)
        constant = IsReference(type) ? 2 + static_cast<int>(type) - static_cast<int>(ValueType::kText) : static_cast<int>(Pick(2));
      if (operation == Operation::kConvert) result = Any(AnyType());
      if (operation == Operation::kCall) result = Any(PlainType());
      if (operation == Operation::kDateTimestamp) result = Any(ValueType::kInt64);
      if (operation >= Operation::kEqual && operation <= Operation::kIsNotNull) result = AnyBool();
      if (operation == Operation::kCall) {
        constant = Pick(3);
        first = static_cast<uint16_t>(program_.arguments.size());
        for (int i = 0; i < program_.functions[constant].narguments; i++) program_.arguments.push_back(Any(PlainType()));
      }
      if (operation >= Operation::kJump && operation <= Operation::kJumpIfNotNull) target = program_.Next() + 1 + Pick(6);
      OwnedProgram trial = program_;
      trial.Add(operation, result, first, b, constant, target);
      while (trial.Next() <= target) trial.Add(Operation::kReject);
      trial.Add(Operation::kAccept);
      if (CheckProgram(trial.View()) != nullptr) continue;
      program_.Add(operation, result, first, b, constant, target);
      return;
    }
  }

  void Finish() {
    uint32_t furthest = 0;
    for (const Instruction &instruction : program_.instructions) furthest = std::max(furthest, instruction.target);
    while (program_.Next() < furthest) program_.Add(Operation::kNull, 0);
    program_.Add(Operation::kJumpIfTrue, 0, AnyBool(), 0, 0, program_.Next() + 2);
    program_.Add(Pick(2) == 0 ? Operation::kReject : Operation::kNull);
    program_.noutputs = static_cast<uint32_t>(program_.registers.size());
    for (uint16_t i = 0; i < program_.noutputs; i++) program_.Add(Operation::kOutput, 0, i, 0, i);
    program_.Add(Operation::kAccept);
  }

  std::mt19937 random_;
  OwnedProgram program_;
};

void Compare(Generator *generator, const OwnedProgram &program, int rows, const std::string &what, int levels) {
  const Program view = program.View();
  ASSERT_EQ(CheckProgram(view), nullptr) << what;
  Values kept, given;
  std::vector<int64_t> constants = {0x1234567812345678, -5};
  for (const InputColumn &column : {InputColumn{-1, ValueType::kText, 0}, InputColumn{16, ValueType::kUuid, 0},
                                    InputColumn{16, ValueType::kInterval, 0}, InputColumn{-1, ValueType::kNumeric, 0}})
    constants.push_back(kept.Keep(column.type, generator->SpecialBytes(column)));
  std::vector<ValueType> types;
  for (const Instruction &instruction : program.instructions)
    if (instruction.operation == Operation::kOutput) types.push_back(program.registers[instruction.a]);
  for (int level = 0; level <= 3; level++) {
    if ((levels >> level & 1) == 0) continue;
    const Mapped code(program, level);
    ASSERT_EQ(code.failure, "") << what;
    for (int i = 0; i < rows; i++) {
      given.Forget();
      const Row row = generator->MakeRow(program, &given);
      const std::string where = what + ", O" + std::to_string(level) + ", row " + std::to_string(i);
      const Outcome expected = Reference(view, row.words, constants, &given).Run();
      std::vector<int64_t> values;
      std::vector<uint8_t> nulls;
      for (const Word &word : row.words) values.push_back(word.value), nulls.push_back(word.null);
      ExpectSame(expected, RunCompiled(view, constants, &given, [&](NativeFrame *frame, int64_t *outputs, uint8_t *output_nulls) {
                   return code.row(frame, values.data(), nulls.data(), outputs, output_nulls);
                 }), types, where + ", by words");
      ExpectSame(expected, RunCompiled(view, constants, &given, [&](NativeFrame *frame, int64_t *outputs, uint8_t *output_nulls) {
                   return code.image_row(frame, row.image.data(), outputs, output_nulls);
                 }), types, where + ", by image");
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(Native, EveryOperationOfEveryType) {
  int tried = 0;
  for (int operation = 0; operation < kOperations; operation++) {
    for (int type = 0; type < kValueTypes; type++) {
      for (int result = 0; result < kValueTypes; result++) {
        Generator generator(static_cast<uint32_t>(operation * 64 + type * 8 + result));
        const auto op = static_cast<Operation>(operation);
        // Of a Word nothing is known: what is made of it here is no pointer.
        if (op == Operation::kMove && type != result) continue;
        if (op < Operation::kMove || (op >= Operation::kJump && op <= Operation::kReject)) continue;
        const OwnedProgram program = generator.MakeSingle(op, static_cast<ValueType>(type), static_cast<ValueType>(result));
        if (CheckProgram(program.View()) != nullptr) continue;
        tried++;
        Compare(&generator, program, 400, "operation " + std::to_string(operation) + " of type " + std::to_string(type) + " to " + std::to_string(result), 0b0101);
        if (HasFatalFailure()) return;
      }
    }
  }
  EXPECT_GT(tried, 120);
}

TEST(Native, RandomPrograms) {
  for (uint32_t seed = 1; seed <= 120; seed++) {
    Generator generator(seed);
    Compare(&generator, generator.MakeProgram(), 100, "seed " + std::to_string(seed), seed % 10 == 0 ? 0b1111 : 0b0101);
    if (HasFatalFailure()) return;
  }
}

TEST(Native, WideRow) {
  OwnedProgram program;
  for (int i = 0; i < 200; i++) {
    program.columns.push_back({4, ValueType::kInt32, 1});
    const uint16_t reg = program.Register(ValueType::kInt32);
    program.Add(Operation::kInput, reg, 0, 0, i);
    program.Add(Operation::kOutput, 0, reg, 0, i);
  }
  program.noutputs = 200;
  program.Add(Operation::kAccept);
  Generator generator(1);
  Compare(&generator, program, 20, "a wide row", 0b0101);
}

TEST(Native, IllFormedProgramIsRefused) {
  OwnedProgram program;
  program.Add(Operation::kJump);
  const std::vector<uint64_t> bytes = program.Bytes();
  const CompileRequest request = {reinterpret_cast<const uint8_t *>(bytes.data()), ProgramSize(program.View()), 2, false, Fatal};
  CompileResult result;
  pgstream_jit_interface()->compile(&request, &result);
  EXPECT_STRNE(result.failure, "");
  EXPECT_EQ(result.code.bytes, nullptr);
}

TEST(Native, IrOnRequest) {
  OwnedProgram program;
  program.Add(Operation::kAccept);
  const std::vector<uint64_t> bytes = program.Bytes();
  const CompileRequest request = {reinterpret_cast<const uint8_t *>(bytes.data()), ProgramSize(program.View()), 0, true, Fatal};
  CompileResult result;
  pgstream_jit_interface()->compile(&request, &result);
  ASSERT_STREQ(result.failure, "");
  EXPECT_NE(std::strstr(result.ir, "pgstream_image_row"), nullptr);
  pgstream_jit_interface()->release(result.ir);
  pgstream_jit_interface()->release(result.code.bytes);
}

}  // namespace
}  // namespace pgstream
