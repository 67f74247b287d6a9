"""Notes: read once, by one turn; the same message is one note."""

from rlm_agent.store.home import Home


async def test_notes_are_unread_until_a_turn_reads_them(home: Home) -> None:
    ids = [await home.notes.add("run", text) for text in ("하나", "둘", "셋")]
    await home.notes.add("other", "not here")
    assert [note.text for note in home.notes.unread("run")] == ["하나", "둘", "셋"]
    await home.commit(home.notes.mark_op("run", ids[:2], 4))
    assert [note.id for note in home.notes.unread("run")] == ids[2:]
    assert [note.turn for note in home.notes.list("run")] == [4, 4, None]


async def test_a_note_stays_with_the_turn_that_read_it(home: Home) -> None:
    id = await home.notes.add("run", "text")
    await home.commit(home.notes.mark_op("run", [id], 4))
    await home.commit(home.notes.mark_op("run", [id], 5))
    await home.commit(home.notes.mark_op("other", [id], 6))
    assert home.notes.list("run")[0].turn == 4


async def test_the_same_message_is_one_note(home: Home) -> None:
    first = await home.notes.add("run", "text", "m1")
    assert await home.notes.add("run", "text", "m1") == first
    assert await home.notes.add("other", "text", "m1") != first
    assert await home.notes.add("run", "text") != await home.notes.add("run", "text")
    assert len(home.notes.list("run")) == 3
