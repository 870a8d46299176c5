// Numerics as they are stored, without the varlena header.
//
// Promises: what is read is exact. Refuses: NaN and infinities, and numbers of more than 16 digits.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// The scale a stored numeric is shown with; -1: it is no number.
int StoredScale(const uint8 *data, uint32 size);

// A stored numeric of this scale without its point. False when it is too large, or of another scale.
bool StoredInteger(const uint8 *data, uint32 size, int scale, int64 *value);

}  // namespace pgstream
