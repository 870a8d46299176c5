// Arithmetic on columns against row programs' plain evaluation, errors included, at the ends of every type.
#include "core/batch_arithmetic.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <vector>

#include "../program_reference.hpp"

namespace pgstream {
namespace {

constexpr ValueType kTypes[] = {ValueType::kInt16, ValueType::kInt32, ValueType::kInt64};
constexpr Operation kAll[] = {Operation::kAdd, Operation::kSubtract, Operation::kMultiply, Operation::kDivide, Operation::kModulo, Operation::kNegate, Operation::kConvert};

int64_t RandomOf(std::mt19937_64 &rng, ValueType type) {
  const int64_t low = type == ValueType::kInt16 ? INT16_MIN : type == ValueType::kInt32 ? INT32_MIN : INT64_MIN;
  const int64_t ends[] = {low, low + 1, -(low + 1), -2, -1, 0, 1, 2};
  if (rng() % 2 == 0) return ends[rng() % 8];
  const auto value = static_cast<int64_t>(rng() >> rng() % 60);
  return type == ValueType::kInt16 ? static_cast<int16_t>(value) : type == ValueType::kInt32 ? static_cast<int32_t>(value) : value;
}

/// What a program of this one operation makes of two values.
Outcome Evaluate(Operation operation, ValueType from, ValueType type, int64_t a, int64_t b) {
  OwnedProgram program;
  program.columns = {{8, from, 1}, {8, from, 1}};
  const uint16_t x = program.Register(from), y = program.Register(from), result = program.Register(type);
  program.Add(Operation::kInput, x, 0, 0, 0);
  program.Add(Operation::kInput, y, 0, 0, 1);
  program.Add(operation, result, x, operation == Operation::kNegate || operation == Operation::kConvert ? uint16_t{0} : y);
  program.Add(Operation::kOutput, 0, result, 0, 0);
  program.Add(Operation::kAccept);
  program.noutputs = 1;
  const std::vector<Word> columns = {{a, false}, {b, false}};
  const std::vector<int64_t> constants;
  const Program view = program.View();
  return Reference(view, columns, constants).Run();
}

TEST(BatchArithmetic, AsRowPrograms) {
  std::mt19937_64 rng(7);
  for (const Operation operation : kAll) {
    EXPECT_TRUE(IsBatchArithmetic(operation));
    for (const ValueType type : kTypes) {
      for (const ValueType from : kTypes) {
        if (operation != Operation::kConvert && from != type) continue;
        constexpr uint32_t kRows = 2000;
        std::vector<int64_t> a(kRows), b(kRows), out(kRows);
        std::vector<uint8_t> marked(kRows, 7);
        for (uint32_t r = 0; r < kRows; r++) a[r] = RandomOf(rng, from), b[r] = RandomOf(rng, from);
        BatchArithmetic(operation, type, kRows, a.data(), b.data(), out.data(), marked.data());
        for (uint32_t r = 0; r < kRows; r++) {
          const Outcome expected = Evaluate(operation, from, type, a[r], b[r]);
          ASSERT_EQ(marked[r] != 0, expected.error.has_value()) << static_cast<int>(operation) << ": " << a[r] << ", " << b[r];
          if (!expected.error) { ASSERT_EQ(out[r], expected.outputs[0].value) << static_cast<int>(operation) << ": " << a[r] << ", " << b[r]; }
        }
      }
    }
  }
  EXPECT_FALSE(IsBatchArithmetic(Operation::kBitNot));
}

}  // namespace
}  // namespace pgstream
