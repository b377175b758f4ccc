"""The overlay: like the rows it will become, whatever is below."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jindimail.store.keys import CHANGE, MESSAGE, META
from jindimail.store.memory import MemoryRows
from jindimail.store.overlay import Overlay

KEYS = st.binary(min_size=1, max_size=2)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.binary(max_size=3)),
        st.tuples(st.just("delete"), KEYS, st.just(b"")),
        st.tuples(st.just("scan"), KEYS, KEYS),
        st.tuples(st.sampled_from(["settle", "takeBack"]), st.just(b""), st.just(b"")),
    ),
    max_size=40,
)


class Base(MemoryRows):
    """Rows in memory that can be below an overlay."""

    def has(self, table: str, key: bytes) -> bool:
        return self.get(table, key) is not None


class OverlayTests(SynchronousTestCase):
    """What an overlay shows and hands on."""

    @given(st.dictionaries(KEYS, st.binary(max_size=3)), OPERATIONS)
    @settings(max_examples=300, deadline=None)
    def test_isLikeRowsThatAreChangedDirectly(
        self, below: dict[bytes, bytes], operations: list[tuple[str, bytes, bytes]]
    ) -> None:
        base, model = Base(), MemoryRows()
        for key, value in below.items():
            base.put(MESSAGE, key, value)
            model.put(MESSAGE, key, value)
        rows = Overlay(base)
        settled = model.snapshot()[MESSAGE]
        for kind, key, value in operations:
            if kind == "put":
                rows.put(MESSAGE, key, value)
                model.put(MESSAGE, key, value)
            elif kind == "delete":
                self.assertEqual(rows.delete(MESSAGE, key), model.delete(MESSAGE, key))
            elif kind == "settle":
                rows.settle()
                settled = model.snapshot()[MESSAGE]
            elif kind == "takeBack":
                rows.takeBack()
                model = MemoryRows()
                for each, old in settled.items():
                    model.put(MESSAGE, each, old)
            else:
                for reverse in (False, True):
                    self.assertEqual(
                        list(rows.scan(MESSAGE, key, value, reverse)),
                        list(model.scan(MESSAGE, key, value, reverse)),
                    )
        everything = list(model.scan(MESSAGE, b"", b"\xff" * 3))
        self.assertEqual(list(rows.scan(MESSAGE, b"", b"\xff" * 3)), everything)
        self.assertEqual([(key, rows.get(MESSAGE, key)) for key, _ in everything], everything)
        for table, puts, deletes in rows.changes():
            self.assertEqual((sorted(puts), sorted(deletes)), (puts, deletes))
            for key in deletes:
                base.delete(table, key)
            for key, value in puts:
                base.put(table, key, value)
        self.assertEqual(base.snapshot(), model.snapshot())

    def test_onlyChangedTablesAreHandedOn(self) -> None:
        rows = Overlay(Base())
        rows.put(META, b"k", b"v")
        rows.delete(CHANGE, b"never there")
        self.assertEqual(rows.changes(), [(META, [(b"k", b"v")], [])])

    def test_octetsPutAreCounted(self) -> None:
        rows = Overlay(Base())
        rows.put(META, b"k", b"v" * 100)
        rows.put(META, b"l", b"v" * 11)
        self.assertEqual(rows.octets, 111)

    def test_growthIsWhatOnlyPuts(self) -> None:
        rows = Overlay(Base())
        rows.put(META, b"k", b"v" * 100)
        self.assertEqual((rows.isGrowth(99), rows.isGrowth(100)), (True, False))
        rows.delete(META, b"k")
        self.assertFalse(rows.isGrowth(0))
        rows.settle()
        self.assertFalse(rows.isGrowth(0))

    def test_whatIsNotOctetsIsRefusedBeforeTheCommit(self) -> None:
        rows = Overlay(Base())
        for key, value in ((b"k", "text"), ("text", b"v"), (b"k", None), (b"k", 7)):
            with self.assertRaises(TypeError):
                rows.put(META, key, value)  # type: ignore[arg-type]
        self.assertEqual(rows.changes(), [])
