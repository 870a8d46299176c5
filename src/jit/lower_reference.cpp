// Operations on values that registers point to; see lowering.hpp. Behind the word of a NULL there is nothing: all of this is done
// only where the operands are known.
//
// UUIDs and intervals are compared here, by two words each; texts and numerics, whose length varies and which may be compressed
// or stored elsewhere, by functions of the frame.
#include "jit/lowering.hpp"

namespace pgstream {
namespace {

// Indexes of NativeFunctions.
constexpr unsigned kEqualTexts = 3, kCompareNumerics = 4, kComputeNumeric = 5, kMakeNumeric = 6;
static_assert(offsetof(NativeFunctions, equal_texts) == kEqualTexts * sizeof(void *), "the frame's functions are called by number");
static_assert(offsetof(NativeFunctions, compare_numerics) == kCompareNumerics * sizeof(void *), "and so on");
static_assert(offsetof(NativeFunctions, compute_numeric) == kComputeNumeric * sizeof(void *), "and so on");
static_assert(offsetof(NativeFunctions, make_numeric) == kMakeNumeric * sizeof(void *), "and so on");

}  // namespace

template <class Make>
LLVMValueRef Lowering::WhereKnown(LLVMValueRef known, LLVMTypeRef type, Make &&make) {
  const LLVMBasicBlockRef before = LLVMGetInsertBlock(builder_), here = NewBlock(), after = NewBlock();
  LLVMBuildCondBr(builder_, known, here, after);
  ContinueIn(here);
  const LLVMValueRef value = make();
  const LLVMBasicBlockRef last = LLVMGetInsertBlock(builder_);
  LLVMBuildBr(builder_, after);
  ContinueIn(after);
  const LLVMValueRef either = LLVMBuildPhi(builder_, type, "");
  LLVMValueRef values[] = {LLVMConstNull(type), value};
  LLVMBasicBlockRef from[] = {before, last};
  LLVMAddIncoming(either, values, from, 2);
  return either;
}

LLVMValueRef Lowering::LoadFrom(LLVMTypeRef type, LLVMValueRef word, uint64_t offset) {
  const LLVMValueRef pointer = LLVMBuildIntToPtr(builder_, word, pointer_, "");
  return LoadUnaligned(type, At(i8_, pointer, Size(offset)));
}

// The order of two UUIDs is that of their bytes.
Lowering::Wide Lowering::WideOfUuid(LLVMValueRef word) {
  const auto in_order = [&](LLVMValueRef bytes) {
    const LLVMValueRef swap = llvm_compat::Intrinsic(module_, "llvm.bswap", i64_);
    return LLVMBuildCall2(builder_, llvm_compat::IntrinsicType(context_, "llvm.bswap", i64_), swap, &bytes, 1, "");
  };
  return {in_order(LoadFrom(i64_, word, 0)), in_order(LoadFrom(i64_, word, 8))};
}

// The order of two intervals is that of their lengths, with months of 30 days of 24 hours: of the days, rounded down, and what is
// left of a day. The sign is turned over so that days compare as unsigned numbers.
Lowering::Wide Lowering::WideOfInterval(LLVMValueRef word) {
  const LLVMValueRef time = LoadFrom(i64_, word, 0);
  const LLVMValueRef days = LLVMBuildSExt(builder_, LoadFrom(i32_, word, 8), i64_, "");
  const LLVMValueRef months = LLVMBuildSExt(builder_, LoadFrom(i32_, word, 12), i64_, "");
  const LLVMValueRef day = Size(kDayMicroseconds);
  const LLVMValueRef quotient = LLVMBuildSDiv(builder_, time, day, ""), rest = LLVMBuildSRem(builder_, time, day, "");
  const LLVMValueRef below = LLVMBuildICmp(builder_, LLVMIntSLT, rest, Size(0), "");
  LLVMValueRef sum = LLVMBuildAdd(builder_, LLVMBuildMul(builder_, months, Size(30), ""), days, "");
  sum = LLVMBuildAdd(builder_, sum, quotient, "");
  sum = LLVMBuildSub(builder_, sum, LLVMBuildZExt(builder_, below, i64_, ""), "");
  return {LLVMBuildXor(builder_, sum, Size(uint64_t{1} << 63), ""),
          LLVMBuildSelect(builder_, below, LLVMBuildAdd(builder_, rest, day, ""), rest, "")};
}

LLVMValueRef Lowering::WideLess(Wide a, Wide b) {
  const LLVMValueRef high = LLVMBuildICmp(builder_, LLVMIntULT, a.high, b.high, "");
  const LLVMValueRef same = LLVMBuildICmp(builder_, LLVMIntEQ, a.high, b.high, "");
  return Or(high, And(same, LLVMBuildICmp(builder_, LLVMIntULT, a.low, b.low, "")));
}

LLVMValueRef Lowering::WideEqual(Wide a, Wide b) {
  return And(LLVMBuildICmp(builder_, LLVMIntEQ, a.high, b.high, ""), LLVMBuildICmp(builder_, LLVMIntEQ, a.low, b.low, ""));
}

LLVMValueRef Lowering::CompareReferences(Operation operation, ValueType type, LLVMValueRef a, LLVMValueRef b, LLVMValueRef known) {
  return WhereKnown(known, i1_, [&] {
    if (type == ValueType::kText) {
      const LLVMValueRef equal = CallFrame(kEqualTexts, equal_texts_type_, {a, b});
      return LLVMBuildICmp(builder_, operation == Operation::kEqual ? LLVMIntNE : LLVMIntEQ, equal, LLVMConstNull(i32_), "");
    }
    if (type == ValueType::kNumeric) {
      const LLVMValueRef order = CallFrame(kCompareNumerics, compare_numerics_type_, {a, b});
      return Compare(operation, ValueType::kInt32, order, LLVMConstNull(i32_));
    }
    const bool uuid = type == ValueType::kUuid;
    const Wide x = uuid ? WideOfUuid(a) : WideOfInterval(a), y = uuid ? WideOfUuid(b) : WideOfInterval(b);
    switch (operation) {
      case Operation::kEqual:
        return WideEqual(x, y);
      case Operation::kNotEqual:
        return Not(WideEqual(x, y));
      case Operation::kLess:
        return WideLess(x, y);
      case Operation::kLessEqual:
        return Not(WideLess(y, x));
      case Operation::kGreater:
        return WideLess(y, x);
      default:
        return Not(WideLess(x, y));
    }
  });
}

LLVMValueRef Lowering::NumericArithmetic(Operation operation, LLVMValueRef a, LLVMValueRef b, LLVMValueRef known) {
  return WhereKnown(known, i64_, [&] {
    return CallFrame(kComputeNumeric, compute_numeric_type_, {LLVMConstInt(i32_, static_cast<unsigned>(operation), 0), a, b});
  });
}

LLVMValueRef Lowering::IntegerToNumeric(LLVMValueRef a, LLVMValueRef known) {
  return WhereKnown(known, i64_, [&] {
    const LLVMValueRef wide = LLVMTypeOf(a) == i64_ ? a : LLVMBuildSExt(builder_, a, i64_, "");
    return CallFrame(kMakeNumeric, make_numeric_type_, {wide});
  });
}

}  // namespace pgstream
