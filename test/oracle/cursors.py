"""Cursors of the first session that stay open across steps: they keep the answer of their opening.

Promises: what a cursor gives, in pieces, forwards and backwards, amid later writes, savepoints and folds, and after the
commit where it is held, is the multiset of its opening. Refuses: DDL of what an open cursor reads (the server does).
"""

from session import Failure


class Cursor:
    def __init__(self, name, table, expected, scroll, held, depth):
        self.name, self.table, self.expected, self.scroll, self.held = name, table.name, expected, scroll, held
        self.query = table.query.sql
        self.depth = depth  # savepoints open at its creation, and one
        self.got = []


def declare(sc):
    rng, s = sc.rng, sc.first
    if not sc.tables:
        return
    sc.touched = set()
    table = rng.choice(sc.tables)
    expected = sorted(r[0] for r in s.run('SELECT y::text FROM (%s) y' % table.query.sql))
    scroll, held = rng.random() < 0.6, rng.random() < 0.3
    sc.next_cursor += 1
    cursor = Cursor('c%d' % sc.next_cursor, table, expected, scroll, held, len(sc.transaction.saved))
    s.run('DECLARE %s %s CURSOR %s FOR SELECT x::text FROM %s x%s' % (
        cursor.name, 'SCROLL' if scroll else 'NO SCROLL', 'WITH HOLD' if held else '', table.name,
        rng.choice(['', '', ' ORDER BY 1', ' WHERE x IS NOT NULL OR x IS NULL OR true'])))
    sc.cursors.append(cursor)
    if rng.random() < 0.7:
        cursor.got += s.run('FETCH %d FROM %s' % (rng.randrange(1, 5), cursor.name))


def fetch(sc):
    """Some rows of a cursor, or all that are left, which are then compared."""
    rng, s = sc.rng, sc.first
    sc.touched = set()
    cursor = rng.choice(sc.cursors)
    if rng.random() < 0.4:
        cursor.got += s.run('FETCH %d FROM %s' % (rng.randrange(1, 5), cursor.name))
    else:
        finish(sc, cursor)


def finish(sc, cursor):
    s = sc.first
    rows = cursor.got + s.run('FETCH ALL FROM ' + cursor.name)
    if sorted(r[0] for r in rows) != cursor.expected:
        raise Failure('cursor %s of %s gives other rows than its query did when it was opened\n  query: %s\n  cursor: %r\n  query:  %r'
                      % (cursor.name, cursor.table, cursor.query, sorted(r[0] for r in rows)[:6], cursor.expected[:6]))
    if cursor.scroll:
        back = s.run('FETCH BACKWARD ALL FROM ' + cursor.name)
        s.run('MOVE ABSOLUTE %d FROM %s' % (len(rows) // 2, cursor.name))
        rest = s.run('FETCH ALL FROM ' + cursor.name)
        if back[::-1] != rows or rest != rows[len(rows) // 2:]:
            raise Failure('cursor %s of %s gives other rows backward than forward' % (cursor.name, cursor.table))
    s.run('CLOSE ' + cursor.name)
    sc.cursors.remove(cursor)


def rolled_back(sc, level):
    """After ROLLBACK TO the savepoint of that level: what was opened after it is gone."""
    sc.cursors = [c for c in sc.cursors if c.depth <= level]


def released(sc, level):
    for c in sc.cursors:
        c.depth = min(c.depth, level)


def ended(sc, committed):
    """After the end of the transaction that opened them: held cursors are still there."""
    sc.cursors = [c for c in sc.cursors if c.depth == 0 or (committed and c.held)]
    for c in sc.cursors:
        c.depth = 0
