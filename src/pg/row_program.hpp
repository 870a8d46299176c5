// From analysed expressions to a row program (core/program.hpp).
//
// What the program's operations cover becomes operations, other functions and operators become calls. An expression that is
// neither (a subscript, a domain's checks, XML, ...) makes the whole row interpreted, and the reason says so.
//
// Promises: the program means what the server's own evaluation of the same expressions means: order, laziness (AND, OR, CASE,
// COALESCE), strictness and errors included. Refuses: to check permissions on functions: who runs the program has also prepared the
// expressions for the server's evaluation, which does.
#pragma once

#include "core/program.hpp"
#include "pg/includes.hpp"

namespace pgstream {

// A source row and what is made of it. Expressions are simplified, their Vars have varno 1.
struct RowExpressions {
  TupleDesc descriptor;  // of the source
  int ncolumns;          // used ones, in the order of the row image
  const AttrNumber *columns;
  const List *quals;    // implicit AND; a row that fails is rejected
  const List *targets;  // TargetEntry; its outputs
};

// A function of the program.
struct BoundFunction {
  Oid function;
  Oid collation;
  const Node *call;  // the expression, for functions that ask for their arguments' types
};

struct RowProgram {
  Program program;
  BoundFunction *functions;  // program.nfunctions
  Datum *constants;          // program.nconstants
};

// Translates, in the current context; the result refers to the expressions. nullptr, and *why (static) says
// why, where it cannot.
RowProgram *TranslateRow(const RowExpressions *row, const char **why);

}  // namespace pgstream
