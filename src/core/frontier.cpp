// Visibility, inclusion and text form of snapshots and frontiers; the contract is in the header file.
#include "core/frontier.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace pgstream {

static_assert(std::is_trivial_v<SnapshotView> && std::is_trivial_v<Frontier>, "views are plain data");

namespace {

/// Number of list entries below `xid`.
uint32_t CountBelow(const SnapshotView &s, uint64_t xid) noexcept {
  return static_cast<uint32_t>(std::lower_bound(s.xip, s.xip + s.nxip, xid) - s.xip);
}

/// Includes() for all xids but `skip1` and `skip2` (0: no exception).
///
/// The invisible xids of a are its list and everything from its xmax on; each of them must be invisible in b. From b's
/// xmax on they are, so of the tail only [a.xmax, b.xmax) is left, which must lie in b's list as a whole: counted, not
/// walked, as it may be long.
bool IncludesExcept(const SnapshotView &a, const SnapshotView &b, uint64_t skip1, uint64_t skip2) noexcept {
  for (uint32_t i = 0; i < a.nxip; i++) {
    if (a.xip[i] >= b.xmax)
      break;
    if (a.xip[i] != skip1 && a.xip[i] != skip2 && Sees(b, a.xip[i]))
      return false;
  }
  if (a.xmax >= b.xmax)
    return true;
  uint64_t invisible = b.nxip - CountBelow(b, a.xmax);
  for (uint64_t skip : {skip1, skip2 == skip1 ? 0 : skip2}) {
    if (skip >= a.xmax && skip != 0 && Sees(b, skip))
      invisible++;
  }
  return invisible == b.xmax - a.xmax;
}

/// True when everything that `b` covers of transaction `xid` is covered by `a`. One of them has it as its own.
bool IncludesOwn(const Frontier &a, const Frontier &b, uint64_t xid) noexcept {
  int64_t b_last;  // the last record of xid that b covers; all are 'the largest number'
  if (b.own_xid == xid) {
    b_last = b.own_seq;
  } else if (Sees(b.snapshot, xid)) {
    b_last = INT64_MAX;
  } else {
    return true;  // b covers none
  }
  return a.own_xid == xid ? a.own_seq >= b_last : Sees(a.snapshot, xid);
}

/// Reads digits at *pos as a number. False when there is none; *overflow is set when it does not fit 64 bits.
bool ReadNumber(const char **pos, const char *end, uint64_t *value, bool *overflow) noexcept {
  const char *p = *pos;
  uint64_t v = 0;
  if (p == end || *p < '0' || *p > '9')
    return false;
  for (; p < end && *p >= '0' && *p <= '9'; p++) {
    uint64_t digit = static_cast<uint64_t>(*p - '0');
    if (v > (UINT64_MAX - digit) / 10)
      *overflow = true;
    v = v * 10 + digit;
  }
  *pos = p;
  *value = v;
  return true;
}

char *PutNumber(char *p, uint64_t v) noexcept {
  char digits[20];
  int n = 0;
  do {
    digits[n++] = static_cast<char>('0' + v % 10);
    v /= 10;
  } while (v != 0);
  while (n > 0)
    *p++ = digits[--n];
  return p;
}

size_t NumberLength(uint64_t v) noexcept {
  size_t n = 1;
  for (; v >= 10; v /= 10)
    n++;
  return n;
}

}  // namespace

bool IsValid(const SnapshotView &s) noexcept {
  if (s.xmin == 0 || s.xmax < s.xmin)
    return false;
  for (uint32_t i = 0; i < s.nxip; i++) {
    if (s.xip[i] < s.xmin || s.xip[i] >= s.xmax)
      return false;
    if (i > 0 && s.xip[i] <= s.xip[i - 1])
      return false;
  }
  return true;
}

bool Sees(const SnapshotView &s, uint64_t xid) noexcept {
  if (xid < s.xmin)
    return true;
  if (xid >= s.xmax)
    return false;
  return !std::binary_search(s.xip, s.xip + s.nxip, xid);
}

bool Covers(const Frontier &f, uint64_t xid, int64_t seq) noexcept {
  if (f.own_xid != 0 && xid == f.own_xid)
    return seq <= f.own_seq;
  return Sees(f.snapshot, xid);
}

bool Includes(const SnapshotView &a, const SnapshotView &b) noexcept {
  return IncludesExcept(a, b, 0, 0);
}

bool Includes(const Frontier &a, const Frontier &b) noexcept {
  if (a.own_xid != 0 && !IncludesOwn(a, b, a.own_xid))
    return false;
  if (b.own_xid != 0 && b.own_xid != a.own_xid && !IncludesOwn(a, b, b.own_xid))
    return false;
  return IncludesExcept(a.snapshot, b.snapshot, a.own_xid, b.own_xid);
}

SnapshotParse ParseSnapshot(const char *text, size_t length, uint64_t *storage, uint32_t capacity, SnapshotView *out,
                            uint32_t *needed) noexcept {
  const char *pos = text;
  const char *end = text + length;
  bool overflow = false;
  bool disorder = false;
  uint64_t xmin, xmax;
  uint32_t named = 0;
  uint32_t stored = 0;
  uint64_t last = 0;
  if (needed != nullptr)
    *needed = 0;

  if (!ReadNumber(&pos, end, &xmin, &overflow))
    return SnapshotParse::kSyntax;
  if (pos == end || *pos++ != ':')
    return SnapshotParse::kSyntax;
  if (!ReadNumber(&pos, end, &xmax, &overflow))
    return SnapshotParse::kSyntax;
  if (pos == end || *pos++ != ':')
    return SnapshotParse::kSyntax;
  while (pos < end) {
    uint64_t xid;
    if (!ReadNumber(&pos, end, &xid, &overflow))
      return SnapshotParse::kSyntax;
    if (pos < end && (*pos++ != ',' || pos == end))
      return SnapshotParse::kSyntax;
    if (named == UINT32_MAX)
      return SnapshotParse::kRange;
    if (xid < xmin || xid >= xmax || xid < last)
      disorder = true;
    if (named++ > 0 && xid == last)
      continue;
    last = xid;
    if (stored < capacity)
      storage[stored] = xid;
    stored++;
  }
  if (needed != nullptr)
    *needed = named;
  if (overflow || disorder || xmin == 0 || xmax < xmin)
    return SnapshotParse::kRange;
  if (stored > capacity)
    return SnapshotParse::kNoRoom;
  *out = {xmin, xmax, storage, stored};
  return SnapshotParse::kOk;
}

size_t FormatSnapshot(const SnapshotView &s, char *buf, size_t size) noexcept {
  size_t length = NumberLength(s.xmin) + NumberLength(s.xmax) + 2 + (s.nxip > 1 ? s.nxip - 1 : 0);
  for (uint32_t i = 0; i < s.nxip; i++)
    length += NumberLength(s.xip[i]);
  if (size <= length) {
    if (size > 0)
      buf[0] = '\0';
    return length;
  }
  char *p = PutNumber(buf, s.xmin);
  *p++ = ':';
  p = PutNumber(p, s.xmax);
  *p++ = ':';
  for (uint32_t i = 0; i < s.nxip; i++) {
    if (i > 0)
      *p++ = ',';
    p = PutNumber(p, s.xip[i]);
  }
  *p = '\0';
  return length;
}

}  // namespace pgstream
