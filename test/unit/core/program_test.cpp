// Row programs: what is well formed, and their serialised form.
#include "core/program.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "../program_reference.hpp"

namespace pgstream {
namespace {

// output 0 = column 0 + 1, where column 0 is not NULL; else the row is rejected
OwnedProgram AddOne() {
  OwnedProgram program;
  program.columns = {{4, ValueType::kInt32, 1}};
  program.noutputs = 1;
  const uint16_t column = program.Register(ValueType::kInt32), one = program.Register(ValueType::kInt32);
  program.Add(Operation::kInput, column);
  const uint32_t jump = program.Add(Operation::kJumpIfNotNull, 0, column);
  program.Add(Operation::kReject);
  program.instructions[jump].target = program.Next();
  program.Add(Operation::kConstant, one, 0, 0, 1);
  program.Add(Operation::kAdd, column, column, one);
  program.Add(Operation::kOutput, 0, column);
  program.Add(Operation::kAccept);
  return program;
}

TEST(Program, WellFormed) {
  EXPECT_EQ(CheckProgram(AddOne().View()), nullptr);
}

TEST(Program, EmptyOrEndless) {
  OwnedProgram program;
  EXPECT_STREQ(CheckProgram(program.View()), "the program is empty");
  program.Add(Operation::kNull, program.Register(ValueType::kBool));
  EXPECT_STREQ(CheckProgram(program.View()), "the program does not end");
}

TEST(Program, JumpsLeadForward) {
  OwnedProgram program = AddOne();
  for (uint32_t target : {0u, 1u, 7u, 100u}) {
    program.instructions[1].target = target;
    EXPECT_STREQ(CheckProgram(program.View()), "a jump does not lead forward") << target;
  }
  program = AddOne();
  program.instructions[0].target = 3;  // no jump
  EXPECT_NE(CheckProgram(program.View()), nullptr);
}

TEST(Program, OperandsAndTypes) {
  OwnedProgram program = AddOne();
  program.instructions[4].b = 2;
  EXPECT_STREQ(CheckProgram(program.View()), "an operand is no register");
  program = AddOne();
  program.registers[1] = ValueType::kInt64;
  EXPECT_STREQ(CheckProgram(program.View()), "the types of an operation do not agree");
  program = AddOne();
  program.instructions[5].constant = 1;
  EXPECT_NE(CheckProgram(program.View()), nullptr) << "an output that is not there";
  program = AddOne();
  program.columns[0].length = 8;
  EXPECT_STREQ(CheckProgram(program.View()), "a column has another length than its type");
  program = AddOne();
  program.columns[0].type = ValueType::kInt64;
  program.columns[0].length = 8;
  EXPECT_NE(CheckProgram(program.View()), nullptr) << "an input of another type than its register";
  program = AddOne();
  program.registers[0] = program.registers[1] = ValueType::kUInt32;
  program.columns[0].type = ValueType::kUInt32;
  EXPECT_NE(CheckProgram(program.View()), nullptr) << "no arithmetic on oids";
}

TEST(Program, Conversions) {
  // Which are there: numbers among each other, bool and int4, oid to int8.
  const auto can = [](ValueType from, ValueType to) {
    OwnedProgram program;
    const uint16_t a = program.Register(from), b = program.Register(to);
    program.Add(Operation::kConvert, b, a);
    program.Add(Operation::kAccept);
    return CheckProgram(program.View()) == nullptr;
  };
  EXPECT_TRUE(can(ValueType::kInt16, ValueType::kFloat64));
  EXPECT_TRUE(can(ValueType::kFloat32, ValueType::kInt16));
  EXPECT_TRUE(can(ValueType::kBool, ValueType::kInt32));
  EXPECT_TRUE(can(ValueType::kUInt32, ValueType::kInt64));
  EXPECT_FALSE(can(ValueType::kInt32, ValueType::kUInt32));
  EXPECT_FALSE(can(ValueType::kBool, ValueType::kInt64));
  EXPECT_FALSE(can(ValueType::kWord, ValueType::kInt64));
  EXPECT_FALSE(can(ValueType::kInt32, ValueType::kInt32));
}

TEST(Program, Calls) {
  OwnedProgram program;
  const uint16_t reg = program.Register(ValueType::kWord);
  program.functions = {{2, 1, 0}};
  program.arguments = {reg};
  program.Add(Operation::kCall, reg);
  program.Add(Operation::kAccept);
  EXPECT_NE(CheckProgram(program.View()), nullptr) << "one argument is missing";
  program.arguments = {reg, reg};
  EXPECT_EQ(CheckProgram(program.View()), nullptr);
  program.arguments = {reg, 1};
  EXPECT_STREQ(CheckProgram(program.View()), "an argument is no register");
}

TEST(Program, RoundTrip) {
  const OwnedProgram program = AddOne();
  const std::vector<uint64_t> bytes = program.Bytes();
  Program read;
  ASSERT_EQ(ReadProgram(reinterpret_cast<const uint8_t *>(bytes.data()), ProgramSize(program.View()), &read), nullptr);
  std::vector<uint64_t> again(bytes.size());
  ASSERT_EQ(ProgramSize(read), ProgramSize(program.View()));
  WriteProgram(read, reinterpret_cast<uint8_t *>(again.data()));
  EXPECT_EQ(bytes, again);
}

TEST(Program, EveryCutIsRefused) {
  const OwnedProgram program = AddOne();
  const std::vector<uint64_t> bytes = program.Bytes();
  Program read;
  for (size_t size = 0; size < ProgramSize(program.View()); size++) {
    std::vector<uint64_t> cut((size + 7) / 8);
    if (size > 0) std::memcpy(cut.data(), bytes.data(), size);
    EXPECT_NE(ReadProgram(reinterpret_cast<const uint8_t *>(cut.data()), size, &read), nullptr) << size;
  }
}

// Whatever the bytes are, reading stays inside them (the sanitizers see to that) and what passes can be evaluated.
TEST(Program, DamagedBytes) {
  const OwnedProgram program = AddOne();
  const std::vector<uint64_t> bytes = program.Bytes();
  const size_t size = ProgramSize(program.View());
  std::mt19937 random(1);
  int passed = 0;
  for (int i = 0; i < 20000; i++) {
    std::vector<uint64_t> damaged = bytes;
    for (int n = random() % 3; n >= 0; n--) reinterpret_cast<uint8_t *>(damaged.data())[random() % size] = static_cast<uint8_t>(random());
    Program read;
    if (ReadProgram(reinterpret_cast<const uint8_t *>(damaged.data()), size, &read) != nullptr) continue;
    passed++;
    if (read.nconstants > 0) continue;
    Reference(read, std::vector<Word>(read.ncolumns, Word{5, false}), {}).Run();
  }
  EXPECT_GT(passed, 0);
}

TEST(Program, ErrorsAreTheServers) {
  EXPECT_STREQ(DescribeError(OutOfRange(ValueType::kInt16)).message, "smallint out of range");
  EXPECT_STREQ(DescribeError(OutOfRange(ValueType::kInt32)).message, "integer out of range");
  EXPECT_STREQ(DescribeError(OutOfRange(ValueType::kInt64)).message, "bigint out of range");
  EXPECT_STREQ(DescribeError(ProgramError::kDivisionByZero).sqlstate, "22012");
}

}  // namespace
}  // namespace pgstream
