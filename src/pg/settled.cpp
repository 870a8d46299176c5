// The reviewed lists behind ExamineDependence: see settled.hpp.
//
// Built-in functions marked STABLE are so for one of three reasons: they read settings (TimeZone and its like), they call
// the input or output function of whatever type they are given, or they read the clock, the session or the catalogs. The
// first are listed here; the second too, and hold for types whose own functions are settled; what is not listed counts
// as the third. OIDs of built-in functions never change between server versions.

#include "pg/settled.hpp"

extern "C" {
#include "catalog/pg_cast.h"
#include "parser/parse_coerce.h"
#include "utils/fmgroids.h"
}

namespace pgstream {
namespace {

// Settings alone, whatever the arguments.
constexpr Oid kReadSettings[] = {
    // money: lc_monetary
    886, 887, 3811, 3812, 3823, 3824,
    // timestamptz to and from its parts: TimeZone
    1171, 1174, 1176, 1178, 1217, 1284, 1388, 2019, 2027, 2028, 3462, 3463, 6203, 6334, 6335,
    // timestamptz and interval: days and months are of the TimeZone
    939, 1189, 1190, 1305, 1306, 1307, 2549, 4135, 6221, 6223,
    // timestamptz compared with date and timestamp
    2351, 2352, 2353, 2354, 2355, 2356, 2357, 2377, 2378, 2379, 2380, 2381, 2382, 2383, 2520, 2521, 2522, 2523, 2524,
    2525, 2526, 2527, 2528, 2529, 2530, 2531, 2532, 2533,
    // to_char, to_number, to_timestamp, to_date: lc_numeric, lc_time, TimeZone
    1768, 1770, 1772, 1773, 1774, 1775, 1776, 1777, 1778, 1780, 2049,
    // output of date, timestamp, timestamptz and interval; input of interval: DateStyle, IntervalStyle, TimeZone
    1085, 1151, 1160, 1161, 1313,
    // xml from text: xmloption
    2893, 2896, 3051,
    // jsonpath over dates: TimeZone
    1177, 1179, 1180, 2023, 2030,
    // the labels of an enum, which change by DDL alone
    3505, 3506, 3507, 3528, 3529, 3530, 3531,
    // identifiers: quote_all_identifiers
    1282,
    // nothing at all: encodings by name, the type of an expression
    1264, 1597, 1619, 1713};

// Text search by the session's default configuration.
constexpr Oid kDefaultTextSearch[] = {3749, 3750, 3751, 3754, 3755, 3760, 3761, 4203, 4204, 4207,
                                      4208, 4209, 4210, 4213, 4215, 5001, 5009};

// They print their arguments: array_to_string, quote_literal, quote_nullable, concat, concat_ws, format, || with any type.
constexpr Oid kPrintArguments[] = {384, 395, 751, 1285, 1290, 2003, 2004, 2291, 3058, 3059, 3539, 3540};

// They turn their arguments into JSON, by casts where a type has one. Some are marked immutable all the same.
constexpr Oid kJsonOfArguments[] = {3153, 3154, 3155, 3156, 3175, 3176, 3197, 3198, 3199, 3200, 3201, 3267, 3270, 3271, 3272,
                                    3273, 3274, 3787, 6276, 6280, 6281, 6282, 6284, 6288, 6289, 6290};

template <size_t n>
bool Contains(const Oid (&list)[n], Oid value) {
  for (const Oid each : list)
    if (each == value) return true;
  return false;
}

bool IsBuiltIn(Oid function) { return function < FirstGenbkiObjectId; }

enum class Conversion { Output, Json, Input };

// How a value is converted: by which of its type's functions.
const char *WhyTypeUnsettled(Oid type, Conversion conversion);

const char *WhyFunctionOfTypeUnsettled(Oid type, Conversion conversion) {
  Oid function, parameter;
  bool is_varlena;
  if (conversion == Conversion::Input)
    getTypeInputInfo(type, &function, &parameter);
  else
    getTypeOutputInfo(type, &function, &is_varlena);
  if (func_volatile(function) == PROVOLATILE_IMMUTABLE || (IsBuiltIn(function) && Contains(kReadSettings, function)))
    return nullptr;
  return psprintf("%s a value of type %s is not immutable", conversion == Conversion::Input ? "reading" : "printing",
                  format_type_be(type));
}

const char *WhyFieldsUnsettled(Oid type, Conversion conversion) {
  TupleDesc fields = lookup_rowtype_tupdesc(type, -1);
  const char *why = nullptr;
  for (int i = 0; i < fields->natts && why == nullptr; i++)
    if (!TupleDescAttr(fields, i)->attisdropped) why = WhyTypeUnsettled(TupleDescAttr(fields, i)->atttypid, conversion);
  ReleaseTupleDesc(fields);
  return why;
}

// A user's type may have a cast to json, which the JSON functions call and nothing records.
bool HasJsonCast(Oid type) {
  Oid function;
  return type >= FirstNormalObjectId &&
         find_coercion_pathway(JSONOID, type, COERCION_EXPLICIT, &function) == COERCION_PATH_FUNC;
}

const char *WhyTypeUnsettled(Oid type, Conversion conversion) {
  check_stack_depth();
  type = getBaseType(type);
  if (conversion == Conversion::Json && HasJsonCast(type))
    return psprintf("type %s has a cast to json", format_type_be(type));
  const Oid element = get_element_type(type);
  if (OidIsValid(element)) return WhyTypeUnsettled(element, conversion);
  switch (get_typtype(type)) {
    case TYPTYPE_ENUM:
      return nullptr;
    case TYPTYPE_COMPOSITE:
      return WhyFieldsUnsettled(type, conversion);
    case TYPTYPE_RANGE:
      return WhyTypeUnsettled(get_range_subtype(type), conversion);
    case TYPTYPE_MULTIRANGE:
      return WhyTypeUnsettled(get_multirange_range(type), conversion);
    case TYPTYPE_PSEUDO:
      if (type != UNKNOWNOID && type != CSTRINGOID && type != VOIDOID)
        return psprintf("a value of type %s is converted", format_type_be(type));
      return nullptr;
    default:
      return WhyFunctionOfTypeUnsettled(type, conversion);
  }
}

// --- Walking -----------------------------------------------------------------------------------------------------

struct Examination {
  Dependence found;
  Node *node;  // the one whose functions are being looked at
};

// What reads the clock or the catalogs may read settings as well: today is a matter of TimeZone.
void Note(Examination *examination, const char *why) {
  examination->found.settings = true;
  if (examination->found.unsettled == nullptr) examination->found.unsettled = why;
}

// Of an expression that is converted. A row built in place has fields, though its type has none.
const char *WhyConversionUnsettled(Node *expression, Conversion conversion) {
  if (!IsA(expression, RowExpr)) return WhyTypeUnsettled(exprType(expression), conversion);
  ListCell *cell;
  foreach (cell, reinterpret_cast<RowExpr *>(expression)->args)
    if (const char *const why = WhyConversionUnsettled(static_cast<Node *>(lfirst(cell)), conversion)) return why;
  return nullptr;
}

const char *WhyArgumentsUnsettled(List *arguments, Conversion conversion) {
  ListCell *cell;
  foreach (cell, arguments) {
    Node *argument = static_cast<Node *>(lfirst(cell));
    if (IsA(argument, TargetEntry)) argument = reinterpret_cast<Node *>(reinterpret_cast<TargetEntry *>(argument)->expr);
    if (const char *const why = WhyConversionUnsettled(argument, conversion)) return why;
  }
  return nullptr;
}

List *ArgumentsOf(Node *node) {
  switch (nodeTag(node)) {
    case T_FuncExpr:
      return reinterpret_cast<FuncExpr *>(node)->args;
    case T_OpExpr:
      return reinterpret_cast<OpExpr *>(node)->args;
    case T_Aggref:
      return reinterpret_cast<Aggref *>(node)->args;
    case T_WindowFunc:
      return reinterpret_cast<WindowFunc *>(node)->args;
    default:
      return NIL;
  }
}

bool ExamineFunction(Oid function, void *context) {
  Examination *const examination = static_cast<Examination *>(context);
  Dependence *const found = &examination->found;
  if (!IsBuiltIn(function)) {
    found->settings = true;  // who knows what it reads
    found->unlocked |= function >= FirstNormalObjectId;
  } else if (Contains(kPrintArguments, function) || Contains(kJsonOfArguments, function)) {
    const Conversion conversion = Contains(kJsonOfArguments, function) ? Conversion::Json : Conversion::Output;
    found->settings = true;
    List *const arguments = ArgumentsOf(examination->node);
    if (const char *const why = WhyArgumentsUnsettled(arguments, conversion))
      Note(examination, psprintf("in function %s(), %s", get_func_name(function), why));
    return false;
  } else if (Contains(kDefaultTextSearch, function)) {
    found->settings = found->default_text_search = found->unlocked = true;
    return false;
  } else if (Contains(kReadSettings, function)) {
    found->settings = true;
    return false;
  }
  if (func_volatile(function) != PROVOLATILE_IMMUTABLE)
    Note(examination, psprintf("function %s() is not immutable", get_func_name(function)));
  return false;
}

// A user's aggregate is always marked immutable; what its functions are marked counts.
void ExamineAggregate(Oid aggregate, Examination *examination) {
  if (aggregate < FirstNormalObjectId) return;
  HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggregate));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for aggregate %u", aggregate);
  const FormData_pg_aggregate *form = reinterpret_cast<Form_pg_aggregate>(GETSTRUCT(tuple));
  const Oid functions[] = {form->aggtransfn,  form->aggfinalfn,     form->aggcombinefn,
                           form->aggmtransfn, form->aggminvtransfn, form->aggmfinalfn};
  ReleaseSysCache(tuple);
  for (const Oid function : functions) {
    if (!OidIsValid(function)) continue;
    if (IsBuiltIn(function) && func_volatile(function) != PROVOLATILE_IMMUTABLE)
      Note(examination, psprintf("function %s() is not immutable", get_func_name(function)));
    else if (!IsBuiltIn(function))
      (void)ExamineFunction(function, examination);
  }
}

void ExamineConversion(CoerceViaIO *coercion, Examination *examination) {
  examination->found.settings = true;
  Node *const argument = reinterpret_cast<Node *>(coercion->arg);
  if (const char *const why = WhyConversionUnsettled(argument, Conversion::Output)) Note(examination, why);
  if (const char *const why = WhyTypeUnsettled(coercion->resulttype, Conversion::Input)) Note(examination, why);
}

// XMLTABLE and JSON_TABLE read the values of their columns by the types' input functions.
void ExamineTableFunction(TableFunc *function, Examination *examination) {
  examination->found.settings = true;
  ListCell *cell;
  foreach (cell, function->coltypes)
    if (const char *const why = WhyTypeUnsettled(lfirst_oid(cell), Conversion::Input)) Note(examination, why);
}

void ExamineXml(XmlExpr *expression, Examination *examination) {
  examination->found.settings = true;
  if (const char *const why = WhyArgumentsUnsettled(expression->named_args, Conversion::Output)) Note(examination, why);
  if (const char *const why = WhyArgumentsUnsettled(expression->args, Conversion::Output)) Note(examination, why);
}

// Changes of types, and of the text search objects that a constant may name, take no lock that a reader holds.
bool HasUnlockedType(Node *node) {
  switch (nodeTag(node)) {
    case T_Const: {
      const Oid type = reinterpret_cast<Const *>(node)->consttype;
      return type >= FirstNormalObjectId || type == REGCONFIGOID || type == REGDICTIONARYOID;
    }
    case T_Var:
    case T_FuncExpr:
    case T_FieldSelect:
    case T_RelabelType:
    case T_CoerceViaIO:
    case T_ArrayCoerceExpr:
    case T_ConvertRowtypeExpr:
    case T_RowExpr:
    case T_CoerceToDomain:
      return exprType(node) >= FirstNormalObjectId;
    default:
      return false;
  }
}

bool Examine(Node *node, void *context) {
  Examination *const examination = static_cast<Examination *>(context);
  if (node == nullptr) return false;
  examination->found.unlocked |= HasUnlockedType(node);
  if (IsA(node, CoerceViaIO)) {
    ExamineConversion(reinterpret_cast<CoerceViaIO *>(node), examination);
  } else if (!IsA(node, Query)) {
    examination->node = node;
    (void)check_functions_in_node(node, ExamineFunction, context);
  }
  switch (nodeTag(node)) {
    case T_Aggref:
      ExamineAggregate(reinterpret_cast<Aggref *>(node)->aggfnoid, examination);
      break;
    case T_WindowFunc:
      if (get_func_prokind(reinterpret_cast<WindowFunc *>(node)->winfnoid) == PROKIND_AGGREGATE)
        ExamineAggregate(reinterpret_cast<WindowFunc *>(node)->winfnoid, examination);
      break;
    case T_SQLValueFunction:
      Note(examination, "it reads the clock or the session (CURRENT_DATE, CURRENT_USER or the like)");
      break;
    case T_NextValueExpr:
      Note(examination, "it calls nextval");
      break;
    case T_TableFunc:
      ExamineTableFunction(reinterpret_cast<TableFunc *>(node), examination);
      break;
    case T_XmlExpr:
      ExamineXml(reinterpret_cast<XmlExpr *>(node), examination);
      break;
    case T_Query:
      return compat::WalkQuery(reinterpret_cast<Query *>(node), Examine, context, 0);
    default:
      break;
  }
  if (List *const arguments = compat::JsonConstructorArguments(node)) {
    examination->found.settings = true;
    if (const char *const why = WhyArgumentsUnsettled(arguments, Conversion::Json)) Note(examination, why);
  } else if (compat::IsJsonQuery(node)) {
    // The server looks into a constant path for us; and what is found is read by the type's input function.
    examination->found.settings = true;
    if (contain_mutable_functions(node)) Note(examination, "an SQL/JSON expression is not immutable");
    if (const char *const why = WhyTypeUnsettled(exprType(node), Conversion::Input)) Note(examination, why);
  }
  return compat::WalkExpression(node, Examine, context);
}

}  // namespace

Dependence ExamineDependence(Node *tree) {
  Examination examination = {};
  (void)Examine(tree, &examination);
  return examination.found;
}

bool ReadsDefaultTextSearch(Oid function) { return Contains(kDefaultTextSearch, function); }

}  // namespace pgstream
