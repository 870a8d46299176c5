// The leader of a parallel populate, and its workers; see populate_workers.hpp.
//
// Each worker has a queue to the leader. Its messages, in this order: rows; the strings that are keys, by their numbers; groups,
// column by column; the end.
#include "delta/populate_workers.hpp"

#include "delta/evaluate.hpp"
#include "delta/shared_plan.hpp"
#include "pg/boundary.hpp"

extern "C" {
#include "access/parallel.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/shm_mq.h"
#include "utils/wait_event.h"

PGDLLEXPORT void pgstream_populate_worker(dsm_segment *segment, shm_toc *toc);
}

namespace pgstream {
namespace {

constexpr Size kQueueSize = 65536;
// A message of groups or strings has about so many bytes.
constexpr Size kMessageSize = 16384;

enum Piece : uint64 { kShared = 1, kPlan, kWanted, kScan, kQueues, kQueryText, kBuffers, kWal };

struct Shared {
  Oid relid;
  int nwanted;
  Size limit;
  uint64 query_id;
  pg_atomic_uint32 stop;
};

enum class MessageKind : int32 { Row, Strings, Groups, End };

// What a message begins with.
struct MessageHeader {
  MessageKind kind;
  int32 column;          // Strings: of the plan
  uint64 count;          // of strings, of groups; End: of rows summed
  ItemPointerData self;  // Row
};
static_assert(sizeof(MessageHeader) == MAXALIGN(sizeof(MessageHeader)), "rows and groups are aligned");

// --- A worker ------------------------------------------------------------------------------------------------------------

struct Sender {
  shm_mq_handle *queue;
  Shared *shared;
  bool gone;  // the leader does not listen any more
};

void Send(Sender *sender, const MessageHeader *header, const void *data, Size size) {
  if (sender->gone) return;
  shm_mq_iovec parts[] = {{reinterpret_cast<const char *>(header), sizeof(*header)}, {static_cast<const char *>(data), size}};
  sender->gone = shm_mq_sendv(sender->queue, parts, size > 0 ? 2 : 1, false, false) != SHM_MQ_SUCCESS;
}

void SendRow(HeapTuple row, void *argument) {
  const MessageHeader header = {MessageKind::Row, 0, 0, row->t_self};
  Send(static_cast<Sender *>(argument), &header, row->t_data, row->t_len);
}

// Each as its size and its bytes.
void SendStrings(Sender *sender, int number, const StringIds *ids) {
  MessageHeader header = {MessageKind::Strings, number, 0, {}};
  StringInfoData message;
  initStringInfo(&message);
  for (uint32 i = 0; i < ids->count() && !sender->gone; i++) {
    uint32 size;
    const uint8 *const bytes = ids->Bytes(i, &size);
    appendBinaryStringInfo(&message, reinterpret_cast<const char *>(&size), sizeof(size));
    appendBinaryStringInfo(&message, reinterpret_cast<const char *>(bytes), static_cast<int>(size));
    header.count++;
    if (static_cast<Size>(message.len) < kMessageSize && i + 1 < ids->count()) continue;
    Send(sender, &header, message.data, static_cast<Size>(message.len));
    header.count = 0;
    resetStringInfo(&message);
  }
  pfree(message.data);
}

void SendGroups(Sender *sender, const DirectGroups *direct) {
  const Size width = direct->groups.width() * sizeof(int64);
  const uint32 most = static_cast<uint32>(Max(kMessageSize / width, 1));
  auto *const columns = static_cast<int64 *>(palloc(width * most));
  for (uint32 first = 0; first < direct->groups.count() && !sender->gone; first += most) {
    const uint32 n = Min(most, direct->groups.count() - first);
    direct->groups.CopyColumns(first, n, columns);
    const MessageHeader header = {MessageKind::Groups, 0, n, {}};
    Send(sender, &header, columns, width * n);
  }
  pfree(columns);
}

void SumAndSend(Sender *sender, DirectGroups *direct, HeapPages *pages) {
  while (!sender->gone && pg_atomic_read_u32(&sender->shared->stop) == 0 && NextHeapPage(pages)) SumPage(direct, pages, SendRow, sender);
  for (int i = 0; i < direct->ncolumns; i++)
    if (direct->columns[i].ids != nullptr) SendStrings(sender, i, direct->columns[i].ids);
  SendGroups(sender, direct);
  const MessageHeader end = {MessageKind::End, 0, static_cast<uint64>(direct->rows), {}};
  Send(sender, &end, nullptr, 0);
}

template <class T>
T *PieceOf(shm_toc *toc, Piece piece) {
  return static_cast<T *>(shm_toc_lookup(toc, piece, false));
}

void Work(dsm_segment *segment, shm_toc *toc) {
  auto *const shared = PieceOf<Shared>(toc, kShared);
  debug_query_string = PieceOf<char>(toc, kQueryText);
  pgstat_report_activity(STATE_RUNNING, debug_query_string);
  pgstat_report_query_id(shared->query_id, false);
  auto *const queue = reinterpret_cast<shm_mq *>(PieceOf<char>(toc, kQueues) + static_cast<Size>(ParallelWorkerNumber) * kQueueSize);
  shm_mq_set_sender(queue, MyProc);
  Sender sender = {shm_mq_attach(queue, segment, nullptr), shared, false};
  InstrStartParallelQuery();
  DirectPlan plan;
  ReadSharedPlan(PieceOf<char>(toc, kPlan), &plan);
  const Relation rel = table_open(shared->relid, AccessShareLock);
  DirectGroups *const direct = NewDirectGroupsOf(&plan, CurrentMemoryContext, shared->limit);
  HeapPages *const pages =
      BeginSharedHeapPages(rel, PieceOf<ParallelTableScanDescData>(toc, kScan), shared->nwanted, PieceOf<AttrNumber>(toc, kWanted));
  SumAndSend(&sender, direct, pages);
  EndHeapPages(pages);
  table_close(rel, AccessShareLock);
  InstrEndParallelQuery(PieceOf<BufferUsage>(toc, kBuffers) + ParallelWorkerNumber, PieceOf<WalUsage>(toc, kWal) + ParallelWorkerNumber);
  shm_mq_detach(sender.queue);
}

// --- The leader ----------------------------------------------------------------------------------------------------------

// What the leader knows of a worker.
struct Helper {
  shm_mq_handle *queue;  // nullptr: it has sent all
  bool ended;
  // Of each column of the plan with strings: the leader's numbers for the worker's.
  struct Numbers {
    int64 *own;
    uint32 count, room;
  } *numbers;
};

struct Gathering {
  DirectGroups *direct;
  Relation rel;
  RowTaker take;
  void *argument;
  const bool *stop;
  ParallelContext *parallel;
  Shared *shared;
  int nhelpers, nlistening;
  Helper *helpers;
  int64 *mapped;  // key columns with the leader's numbers
  Size mapped_room;
};

void *Reserve(ParallelContext *parallel, Piece piece, Size size) {
  void *const memory = shm_toc_allocate(parallel->toc, size);
  shm_toc_insert(parallel->toc, piece, memory);
  return memory;
}

void Estimate(ParallelContext *parallel, Size size) {
  shm_toc_estimate_chunk(&parallel->estimator, size);
  shm_toc_estimate_keys(&parallel->estimator, 1);
}

// Makes the shared memory and starts workers.
void Start(Gathering *gathering, int nwanted, const AttrNumber *wanted, int nworkers, Size limit) {
  const Snapshot snapshot = GetActiveSnapshot();
  const Relation rel = gathering->rel;
  const char *const text = debug_query_string != nullptr ? debug_query_string : "";
  ParallelContext *const parallel = CreateParallelContext("pg_stream", "pgstream_populate_worker", nworkers);
  gathering->parallel = parallel;
  const auto count = static_cast<Size>(nworkers);
  const Size plan_size = SharedPlanSize(gathering->direct), scan_size = table_parallelscan_estimate(rel, snapshot);
  const Size wanted_size = sizeof(AttrNumber) * static_cast<Size>(nwanted + 1), text_size = strlen(text) + 1;
  const Size sizes[] = {sizeof(Shared), plan_size, wanted_size, scan_size, kQueueSize * count, text_size, sizeof(BufferUsage) * count,
                        sizeof(WalUsage) * count};
  for (const Size size : sizes) Estimate(parallel, size);
  InitializeParallelDSM(parallel);

  auto *const shared = static_cast<Shared *>(Reserve(parallel, kShared, sizeof(Shared)));
  *shared = {};
  shared->relid = RelationGetRelid(rel);
  shared->nwanted = nwanted;
  shared->limit = limit;
  shared->query_id = static_cast<uint64>(pgstat_get_my_query_id());
  pg_atomic_init_u32(&shared->stop, 0);
  gathering->shared = shared;
  WriteSharedPlan(gathering->direct, static_cast<char *>(Reserve(parallel, kPlan, plan_size)));
  memcpy(Reserve(parallel, kWanted, wanted_size), wanted, sizeof(AttrNumber) * static_cast<Size>(nwanted));
  table_parallelscan_initialize(rel, static_cast<ParallelTableScanDesc>(Reserve(parallel, kScan, scan_size)), snapshot);
  auto *const queues = static_cast<char *>(Reserve(parallel, kQueues, kQueueSize * count));
  memcpy(Reserve(parallel, kQueryText, text_size), text, text_size);
  (void)Reserve(parallel, kBuffers, sizeof(BufferUsage) * count);
  (void)Reserve(parallel, kWal, sizeof(WalUsage) * count);
  for (int i = 0; i < parallel->nworkers; i++)
    shm_mq_set_receiver(shm_mq_create(queues + static_cast<Size>(i) * kQueueSize, kQueueSize), MyProc);

  LaunchParallelWorkers(parallel);
  gathering->nhelpers = gathering->nlistening = parallel->nworkers_launched;
  gathering->helpers = static_cast<Helper *>(palloc0(sizeof(Helper) * static_cast<Size>(gathering->nhelpers + 1)));
  for (int i = 0; i < gathering->nhelpers; i++) {
    Helper *const helper = &gathering->helpers[i];
    helper->queue = shm_mq_attach(reinterpret_cast<shm_mq *>(queues + static_cast<Size>(i) * kQueueSize), parallel->seg,
                                  parallel->worker[i].bgwhandle);
    helper->numbers =
        static_cast<Helper::Numbers *>(palloc0(sizeof(Helper::Numbers) * static_cast<Size>(gathering->direct->ncolumns + 1)));
  }
}

void TakeStrings(Gathering *gathering, Helper *helper, const MessageHeader *header, const char *data) {
  Helper::Numbers *const numbers = &helper->numbers[header->column];
  const auto count = static_cast<uint32>(header->count);
  auto *const places = static_cast<const uint8 **>(palloc(sizeof(uint8 *) * count));
  auto *const sizes = static_cast<uint32 *>(palloc(sizeof(uint32) * count));
  auto *const left = static_cast<uint8 *>(palloc0(count));
  for (uint32 i = 0; i < count; i++) {
    memcpy(&sizes[i], data, sizeof(uint32));
    places[i] = reinterpret_cast<const uint8 *>(data + sizeof(uint32));
    data += sizeof(uint32) + sizes[i];
  }
  if (numbers->count + count > numbers->room) {
    numbers->room = Max(2 * numbers->room, numbers->count + count);
    const Size size = sizeof(int64) * numbers->room;
    numbers->own = static_cast<int64 *>(numbers->own == nullptr ? MemoryContextAllocHuge(gathering->direct->context, size)
                                                               : repalloc_huge(numbers->own, size));
  }
  gathering->direct->columns[header->column].ids->Add(count, places, sizes, numbers->own + numbers->count, left);
  if (memchr(left, 1, count) != nullptr) elog(ERROR, "too many keys of groups");
  numbers->count += count;
  pfree(places);
  pfree(sizes);
  pfree(left);
}

// A column of keys, with the leader's numbers for strings.
const int64 *KeysOf(Gathering *gathering, const Helper *helper, int key, uint32 n, const int64 *given) {
  const int column = gathering->direct->plan.keys[key];
  if (gathering->direct->columns[column].ids == nullptr) return given;
  const int64 *const own = helper->numbers[column].own;
  int64 *const mapped = gathering->mapped + static_cast<Size>(key) * n;
  for (uint32 i = 0; i < n; i++) mapped[i] = own[given[i]];
  return mapped;
}

void TakeGroups(Gathering *gathering, const Helper *helper, uint32 n, const int64 *columns) {
  const int nkeys = gathering->direct->plan.nkeys;
  const Size room = static_cast<Size>(nkeys) * n;
  if (room > gathering->mapped_room) {
    if (gathering->mapped != nullptr) pfree(gathering->mapped);
    gathering->mapped = static_cast<int64 *>(palloc(sizeof(int64) * room));
    gathering->mapped_room = room;
  }
  const int64 *keys[kMostBatchKeys];
  for (int i = 0; i < nkeys; i++) keys[i] = KeysOf(gathering, helper, i, n, columns + static_cast<Size>(i) * n);
  gathering->direct->groups.Merge(n, columns, keys);
}

void TakeMessage(Gathering *gathering, Helper *helper, void *message, Size size) {
  const auto *const header = static_cast<const MessageHeader *>(message);
  char *const data = static_cast<char *>(message) + sizeof(MessageHeader);
  switch (header->kind) {
    case MessageKind::Row: {
      HeapTupleData row = {};
      row.t_len = static_cast<uint32>(size - sizeof(MessageHeader));
      row.t_self = header->self;
      row.t_tableOid = RelationGetRelid(gathering->rel);
      row.t_data = reinterpret_cast<HeapTupleHeader>(data);
      return gathering->take(&row, gathering->argument);
    }
    case MessageKind::Strings:
      return TakeStrings(gathering, helper, header, data);
    case MessageKind::Groups:
      return TakeGroups(gathering, helper, static_cast<uint32>(header->count), reinterpret_cast<const int64 *>(data));
    case MessageKind::End:
      gathering->direct->rows += static_cast<int64>(header->count);
      helper->ended = true;
  }
}

// Takes what has come. True when that was anything.
bool Listen(Gathering *gathering) {
  bool any = false;
  for (int i = 0; i < gathering->nhelpers; i++) {
    Helper *const helper = &gathering->helpers[i];
    while (helper->queue != nullptr && !*gathering->stop) {
      Size size;
      void *message;
      const shm_mq_result result = shm_mq_receive(helper->queue, &size, &message, true);
      if (result == SHM_MQ_WOULD_BLOCK) break;
      any = true;
      if (result == SHM_MQ_SUCCESS) {
        TakeMessage(gathering, helper, message, size);
      } else {
        shm_mq_detach(helper->queue);
        helper->queue = nullptr;
        gathering->nlistening--;
      }
    }
  }
  return any;
}

// Sums pages while there are any for the leader, and listens until all workers have sent what they have. pages: nullptr: only that.
void GatherAll(Gathering *gathering, HeapPages *pages) {
  bool more = pages != nullptr;
  while (!*gathering->stop && (more || gathering->nlistening > 0)) {
    CHECK_FOR_INTERRUPTS();
    if (gathering->nlistening > 0 && Listen(gathering)) continue;
    if (more) {
      more = NextHeapPage(pages);
      if (more) SumPage(gathering->direct, pages, gathering->take, gathering->argument);
    } else if (gathering->nlistening > 0) {
      (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, 0, WAIT_EVENT_EXECUTE_GATHER);
      ResetLatch(MyLatch);
    }
  }
}

void Finish(Gathering *gathering) {
  ParallelContext *const parallel = gathering->parallel;
  pg_atomic_write_u32(&gathering->shared->stop, 1);
  for (int i = 0; i < gathering->nhelpers; i++)
    if (gathering->helpers[i].queue != nullptr) shm_mq_detach(gathering->helpers[i].queue);
  WaitForParallelWorkersToFinish(parallel);
  for (int i = 0; i < gathering->nhelpers; i++) {
    if (!gathering->helpers[i].ended && !*gathering->stop) elog(ERROR, "a parallel worker has not sent all of its groups");
    InstrAccumParallelQuery(PieceOf<BufferUsage>(parallel->toc, kBuffers) + i, PieceOf<WalUsage>(parallel->toc, kWal) + i);
  }
  TakeAgreedScales(gathering->direct);
  DestroyParallelContext(parallel);
}

}  // namespace

int PlannedWorkers(const Stream *stream, Snapshot snapshot) {
  if (max_parallel_workers_per_gather <= 0 || IsInParallelMode()) return 0;
  const MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_stream plan", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext old = MemoryContextSwitchTo(context);
  const PlannedStmt *const run = PlanForRun(stream->plan->query, snapshot, CURSOR_OPT_PARALLEL_OK);
  int gathered = 0, workers = 0;
  for (const Plan *plan = run->planTree; plan != nullptr; plan = plan->lefttree) {
    if (IsA(plan, Gather)) {
      gathered = reinterpret_cast<const Gather *>(plan)->num_workers;
    } else if (IsA(plan, GatherMerge)) {
      gathered = reinterpret_cast<const GatherMerge *>(plan)->num_workers;
    } else if (IsA(plan, SeqScan)) {
      workers = gathered;
    }
  }
  MemoryContextSwitchTo(old);
  MemoryContextDelete(context);
  return workers;
}

int SumTogether(DirectGroups *direct, Relation rel, int nwanted, const AttrNumber *wanted, int nworkers, Size limit, RowTaker take,
                void *argument, const bool *stop) {
  Gathering gathering = {};
  gathering.direct = direct;
  gathering.rel = rel;
  gathering.take = take;
  gathering.argument = argument;
  gathering.stop = stop;
  EnterParallelMode();
  Start(&gathering, nwanted, wanted, nworkers, limit);
  HeapPages *pages = nullptr;
  if (parallel_leader_participation || gathering.nhelpers == 0)
    pages = BeginSharedHeapPages(rel, PieceOf<ParallelTableScanDescData>(gathering.parallel->toc, kScan), nwanted, wanted);
  GatherAll(&gathering, pages);
  if (pages != nullptr) EndHeapPages(pages);
  Finish(&gathering);
  ExitParallelMode();
  return gathering.nhelpers;
}

}  // namespace pgstream

void pgstream_populate_worker(dsm_segment *segment, shm_toc *toc) {
  pgstream::Entry([=] { pgstream::Work(segment, toc); });
}
