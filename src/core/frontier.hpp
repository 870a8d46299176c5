// Snapshot algebra on 64-bit transaction ids: what of a change log a base already contains.
//
// Promises: PostgreSQL's pg_snapshot semantics, plus the rule for a transaction that folds amid its own writes; plain
// views over the caller's memory, no allocation, no exception, no destructor. Refuses: knowing about MVCC of the log's
// rows (aborted transactions, subtransactions): only records that the reader's snapshot sees are ever asked about here,
// under their top-level transaction id.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pgstream {

/// A snapshot: an xid below `xmin` is visible, one at or above `xmax` is not, one in between is visible unless listed
/// in `xip[0 .. nxip)`. The list is strictly ascending and lies in [xmin, xmax). See IsValid.
struct SnapshotView {
  uint64_t xmin;
  uint64_t xmax;
  const uint64_t *xip;
  uint32_t nxip;
};

/// What a base contains. The records of `own_xid`, the transaction that folded amid its own writes, go by their order
/// in it alone: those up to `own_seq` are contained, whatever the snapshot says (in its own snapshot a transaction is
/// not visible until another one's higher xid commits). own_xid = 0: there is none.
struct Frontier {
  SnapshotView snapshot;
  uint64_t own_xid;
  int64_t own_seq;
};

/// True when the snapshot keeps its own rules: 0 < xmin <= xmax, list strictly ascending within [xmin, xmax).
/// Everything else in this file takes a valid snapshot.
bool IsValid(const SnapshotView &snapshot) noexcept;

/// True when `xid` is visible in the snapshot. Binary search of the list.
bool Sees(const SnapshotView &snapshot, uint64_t xid) noexcept;

/// True when the base with this frontier contains the record number `seq` of transaction `xid`.
bool Covers(const Frontier &frontier, uint64_t xid, int64_t seq) noexcept;

/// True when every xid that is visible in `b` is visible in `a` too ("a is at least as new as b").
bool Includes(const SnapshotView &a, const SnapshotView &b) noexcept;

/// True when every record that `b` covers is covered by `a` too: what a fold may replace b by, and what an overlay
/// built on b may be extended to.
bool Includes(const Frontier &a, const Frontier &b) noexcept;

/// Outcome of ParseSnapshot.
enum class SnapshotParse : uint8_t {
  kOk,
  kSyntax,  ///< not of the form xmin:xmax:xip,xip,...
  kRange,   ///< well-formed, but it breaks the rules of IsValid, or a number exceeds 64 bits
  kNoRoom,  ///< more xips than the storage holds; *needed tells how many there are
};

/// Parses the text form of pg_snapshot, `text[0 .. length)`: 'xmin:xmax:' and the xips in ascending order. Repeated
/// xips are taken once, as the server does. The list goes to `storage[0 .. capacity)`, on which `*out` is a view
/// afterwards.
/// `*needed` (may be null) is the number of xips that the text names, an upper bound of what must be stored.
SnapshotParse ParseSnapshot(const char *text, size_t length, uint64_t *storage, uint32_t capacity, SnapshotView *out,
                            uint32_t *needed) noexcept;

/// Writes the text form, NUL-terminated, and returns its length without the NUL. When `size` is too small nothing is
/// written but a NUL (if size > 0), and the return value tells what is needed: length + 1.
size_t FormatSnapshot(const SnapshotView &snapshot, char *buf, size_t size) noexcept;

/// Bytes that certainly hold the text form with its NUL.
constexpr size_t SnapshotTextBound(uint32_t nxip) noexcept {
  return 21 * (static_cast<size_t>(nxip) + 2) + 1;
}

}  // namespace pgstream
