// Hidden attributes of base rows and additions: see hidden_state.hpp.

#include "delta/hidden_state.hpp"

extern "C" {
#include "access/detoast.h"
#include "access/tupmacs.h"
}

namespace pgstream {
namespace {

constexpr int kHiddenAttributes = 2;

int StateColumn(TupleDesc extended) {
  return extended->natts - 1;
}

}  // namespace

TupleDesc ExtendedDescriptor(Relation rel) {
  const TupleDesc own = RelationGetDescr(rel);
  const TupleDesc extended = CreateTemplateTupleDesc(own->natts + kHiddenAttributes);
  for (int i = 1; i <= own->natts; i++)
    TupleDescCopyEntry(extended, static_cast<AttrNumber>(i), own, static_cast<AttrNumber>(i));
  TupleDescInitEntry(extended, static_cast<AttrNumber>(own->natts + 1), "state", BYTEAOID, -1, 0);
  TupleDescInitEntry(extended, static_cast<AttrNumber>(own->natts + 2), "base_tid", TIDOID, -1, 0);
  return extended;
}

bytea *HiddenState(HeapTuple tuple, TupleDesc extended) {
  bool isnull;
  const Datum state = heap_getattr(tuple, StateColumn(extended), extended, &isnull);
  return isnull ? nullptr : reinterpret_cast<bytea *>(DatumGetPointer(state));
}

// A TID has one length, and the last attribute's value ends where the tuple ends: no need to look at the others.
ItemPointer ReplacedRow(MinimalTuple addition, TupleDesc extended) {
  const int last = extended->natts;
  if ((addition->t_infomask2 & HEAP_NATTS_MASK) < last) return nullptr;
  if ((addition->t_infomask & HEAP_HASNULL) != 0 && att_isnull(last - 1, addition->t_bits)) return nullptr;
  return reinterpret_cast<ItemPointer>(reinterpret_cast<char *>(addition) + addition->t_len - sizeof(ItemPointerData));
}

// Values lie in the base as they do in the addition, of whose attributes the TID is the last: taking the row apart and forming
// it again would give the same bytes.
HeapTuple BaseTuple(MinimalTuple addition, TupleDesc extended) {
  const int own = extended->natts - kHiddenAttributes;
  const int natts = addition->t_infomask2 & HEAP_NATTS_MASK;
  const bool nulls = (addition->t_infomask & HEAP_HASNULL) != 0;
  const bool has_state = natts > own && !(nulls && att_isnull(own, addition->t_bits));
  const int kept = has_state ? own + 1 : Min(natts, own);
  bool kept_nulls = false;
  for (int i = 0; nulls && i < kept; i++) kept_nulls |= att_isnull(i, addition->t_bits);
  const Size bitmap = kept_nulls ? static_cast<Size>(BITMAPLEN(kept)) : 0;
  const char *const data = reinterpret_cast<char *>(addition) - MINIMAL_TUPLE_OFFSET + addition->t_hoff;
  Size size = addition->t_len + MINIMAL_TUPLE_OFFSET - addition->t_hoff;
  if (ReplacedRow(addition, extended) != nullptr) size -= sizeof(ItemPointerData);
  const Size offset = MAXALIGN(SizeofHeapTupleHeader + bitmap);
  auto *const tuple = static_cast<HeapTuple>(palloc(HEAPTUPLESIZE + offset + size));
  memset(tuple, 0, HEAPTUPLESIZE + offset);
  tuple->t_len = static_cast<uint32>(offset + size);
  ItemPointerSetInvalid(&tuple->t_self);
  HeapTupleHeader const header = reinterpret_cast<HeapTupleHeader>(reinterpret_cast<char *>(tuple) + HEAPTUPLESIZE);
  tuple->t_data = header;
  header->t_infomask = static_cast<uint16>(addition->t_infomask & (HEAP_HASVARWIDTH | HEAP_HASEXTERNAL));
  if (kept_nulls) {
    header->t_infomask |= HEAP_HASNULL;
    memcpy(header->t_bits, addition->t_bits, bitmap);
  }
  HeapTupleHeaderSetNatts(header, kept);
  header->t_hoff = static_cast<uint8>(offset);
  memcpy(reinterpret_cast<char *>(header) + offset, data, size);
  return tuple;
}

MinimalTuple FormAddition(TupleDesc extended, const Datum *values, const bool *nulls, const bytea *state,
                          const ItemPointerData *base_tid) {
  const int natts = extended->natts - kHiddenAttributes;
  Datum all_values[MaxTupleAttributeNumber];
  bool all_nulls[MaxTupleAttributeNumber];
  bool fetched[MaxTupleAttributeNumber];
  for (int i = 0; i < natts; i++) {
    all_values[i] = values[i];
    all_nulls[i] = nulls[i];
    fetched[i] = false;
    if (nulls[i] || TupleDescAttr(extended, i)->attlen != -1)
      continue;
    struct varlena *const value = reinterpret_cast<struct varlena *>(DatumGetPointer(values[i]));
    struct varlena *const plain = pg_detoast_datum_packed(value);
    fetched[i] = plain != value;
    all_values[i] = PointerGetDatum(plain);
  }
  all_nulls[natts] = state == nullptr;
  all_values[natts] = PointerGetDatum(const_cast<bytea *>(state));
  all_nulls[natts + 1] = base_tid == nullptr;
  all_values[natts + 1] = PointerGetDatum(const_cast<ItemPointerData *>(base_tid));

  const MinimalTuple tuple = compat::FormMinimalTuple(extended, all_values, all_nulls);
  for (int i = 0; i < natts; i++)
    if (fetched[i])
      pfree(DatumGetPointer(all_values[i]));
  return tuple;
}

}  // namespace pgstream
