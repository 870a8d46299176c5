// What the files of the translation of expressions share: the program in the making. row_program.cpp has leaves and the whole row,
// row_operators.cpp functions and operators, row_choices.cpp logic and what chooses between expressions.
//
// Every node's value gets a register of its own. What is evaluated on some ways only (the arms of a CASE) is jumped over; a
// register is written at most once on every way, except results that several arms share.
#pragma once

#include "pg/lowered_functions.hpp"
#include "pg/row_program.hpp"

extern "C" {
#include "lib/stringinfo.h"
}

namespace pgstream {

constexpr int kFailed = -1;

struct Translator {
  const RowExpressions *row;
  StringInfoData instructions, registers, functions, arguments;
  List *bound;      // BoundFunction *
  List *constants;  // Datum *
  int case_value;   // register of the innermost CASE's test value
  int *inputs;      // register of each column once it is loaded; loaded before everything else
  const char *why;
};

// Each returns the register of a node's value, or kFailed, with t->why.
int Translate(Translator *t, const Node *node);
int TranslateConstant(Translator *t, Oid type, Datum value, bool isnull, bool byval);
int TranslateFunction(Translator *t, const Node *node, Oid function, Oid collation, Oid result_type, bool returns_set, const List *arguments);
int TranslateNullIf(Translator *t, const NullIfExpr *expr);
int TranslateDistinct(Translator *t, const DistinctExpr *expr);
int TranslateArrayOperator(Translator *t, const ScalarArrayOpExpr *expr);
int TranslateBoolean(Translator *t, const BoolExpr *expr);
int TranslateNullTest(Translator *t, const NullTest *test);
int TranslateBooleanTest(Translator *t, const BooleanTest *test);
int TranslateCase(Translator *t, const CaseExpr *expr);
int TranslateCoalesce(Translator *t, const CoalesceExpr *expr);
int TranslateMinMax(Translator *t, const MinMaxExpr *expr);

// Translates operands into `registers`; false on failure.
bool TranslateList(Translator *t, const List *nodes, int *registers);
int *RegistersFor(const List *nodes);

// AND or OR over operands that come one after the other; see row_choices.cpp.
struct Junction {
  bool is_and;
  int result;
  List *decided;  // jumps
};
Junction BeginJunction(Translator *t, bool is_and);
void AddOperand(Translator *t, Junction *junction, int operand);
int EndJunction(Translator *t, const Junction *junction);

// --- The program's parts -----------------------------------------------------------------------------------------------

inline int Fail(Translator *t, const char *why) {
  if (t->why == nullptr) t->why = why;
  return kFailed;
}

inline int NewRegister(Translator *t, ValueType type) {
  appendStringInfoChar(&t->registers, static_cast<char>(type));
  return t->registers.len - 1;
}

inline ValueType TypeOf(const Translator *t, int reg) { return static_cast<ValueType>(t->registers.data[reg]); }

inline uint32 Here(const Translator *t) { return static_cast<uint32>(t->instructions.len / sizeof(Instruction)); }

inline uint32 Emit(Translator *t, Operation operation, int result = 0, int a = 0, int b = 0, int64 constant = 0) {
  const Instruction instruction = {operation, 0, static_cast<uint16>(result), static_cast<uint16>(a), static_cast<uint16>(b), 0, 0, constant};
  appendBinaryStringInfo(&t->instructions, reinterpret_cast<const char *>(&instruction), sizeof(instruction));
  return Here(t) - 1;
}

// Makes a jump lead to what comes next.
inline void JumpsHere(Translator *t, uint32 jump) { reinterpret_cast<Instruction *>(t->instructions.data)[jump].target = Here(t); }

inline void JumpsHere(Translator *t, const List *jumps) {
  ListCell *cell;
  foreach (cell, jumps) JumpsHere(t, static_cast<uint32>(lfirst_int(cell)));
}

inline void Move(Translator *t, int result, int from) {
  if (TypeOf(t, result) != TypeOf(t, from)) {
    Fail(t, "the types of its arms differ");
    return;
  }
  Emit(t, Operation::kMove, result, from);
}

}  // namespace pgstream
