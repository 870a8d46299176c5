// Row images on their way into the change log: packed into a buffer, which becomes a record when it is full or flushed.
//
// Promises: no query, no catalog lookup; only captured columns, detoasted; an UPDATE pair whose captured columns did not
// change writes nothing, and otherwise its two images are in one record unless they are too large. Refuses: to fail a
// writer whose row is beyond what a record can hold: it writes "recompute" instead.
#pragma once

#include "capture/log_writer.hpp"
#include "capture/source_capture.hpp"

namespace pgstream {

// Bytes of the buffer of a run.
inline constexpr Size kRunBuffer = VARHDRSZ + kBatchCapacity;
// Bytes of its stage: as packed, rows take a quarter of that, or more.
inline constexpr Size kRunStage = 4 * BLCKSZ;

struct CaptureRun {
  Oid source;
  int nsegments;
  Oid segments[kMostSegments];
  const ColumnLayout *layouts;  // by the source's attribute numbers; outlives the run
  int ncolumns;
  char *buffer;                 // kRunBuffer bytes, aligned: a bytea whose header is ours
  BatchEncoder encoder;
  bool begun;
  Relation log;            // nullptr until the first record; the caller closes it, with NoLock
  MemoryContext context;   // of detoasted values, reset row by row; nullptr until needed, the caller deletes it
  bool detoasted;
  ColumnValue *old_values, *new_values;  // ncolumns + 1 each
  uint64 *old_bytes, *new_bytes;         // where by-value columns lie
  EncoderColumn *encoder_columns;        // likewise
};

// A run into the buffer that a backend has for capture by statement, which is not reentrant: nothing else is captured between
// these two. EndRun writes what is left and lets go of everything.
CaptureRun BeginRun(const SourceCapture *capture);
void EndRun(CaptureRun *run);

// Appends the image of a row, or of a row before and after. capture: where its columns are; those of the run's layouts.
void CaptureOne(CaptureRun *run, const SourceCapture *capture, int weight, TupleTableSlot *slot);
void CapturePair(CaptureRun *run, const SourceCapture *capture, TupleTableSlot *old_slot, TupleTableSlot *new_slot);

// Writes what is in the buffer, if anything.
void FlushRun(CaptureRun *run);

// Writes that the source was truncated.
void LogTruncation(Oid source, const Oid *segments, int nsegments);
// The same, into the log that the catalogs know: nothing where the source is not captured (any more).
void LogTruncationIfCaptured(Oid source);
// Writes that the source changed in a way that the log does not hold.
void LogUnheldChangeIfCaptured(Oid source);

}  // namespace pgstream
