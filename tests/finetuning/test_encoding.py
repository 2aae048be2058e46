"""Words and their first pieces, whatever the order and the batch."""

from pathlib import Path

import numpy as np
import pytest

from distil.finetuning.encoding import NO_PLACE, Encoder, join
from tests.support import lab, toy


@pytest.fixture
def room(tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = lab.make_lab(tmp_path, world)
    monkeypatch.chdir(root)
    return root


def test_a_word_is_read_at_its_first_piece(room: Path) -> None:
    encoder, task = Encoder(room / "models/teacher", 60, "teacher"), lab.task_of("names")
    rows = encoder.split(task, "swa", 0, "test")
    tokenizer = encoder._tokenizer
    sentences = task.token_rows("swa", "test")
    for number, row in enumerate(sentences):
        places = rows.places[rows.starts[number] : rows.starts[number + 1]]
        pieces = [tokenizer.id_to_token(rows.ids[number][place]) for place in places]
        assert len(places) == len(row.tokens) and all(piece.startswith("▁") for piece in pieces)
        ends = [*places[1:], len(rows.ids[number]) - 1]
        words = ["".join(tokenizer.id_to_token(piece) for piece in rows.ids[number][start:end])
                 for start, end in zip(places, ends, strict=True)]  # fmt: skip
        assert [word for word in words if "<unk>" not in word] == [
            f"▁{token}" for token, word in zip(row.tokens, words, strict=True) if "<unk>" not in word
        ]


def test_words_that_do_not_fit_have_no_place_and_take_no_part(room: Path) -> None:
    encoder, task = Encoder(room / "models/teacher", 8, "teacher"), lab.task_of("names")
    rows = encoder.split(task, "swa", 0, "test")
    assert max(map(len, rows.ids)) == 8 and (rows.places == NO_PLACE).any()
    batch = np.array([5, 2])
    units, owner = rows.units(batch)
    assert (rows.places[units] != NO_PLACE).all()
    for unit, place in zip(units, owner, strict=True):
        assert rows.starts[batch[place]] <= unit < rows.starts[batch[place] + 1]


def test_joined_rows_keep_their_units_and_languages(room: Path) -> None:
    encoder, task = Encoder(room / "models/teacher", 60, "teacher"), lab.task_of("names")
    parts = [encoder.split(task, language, number, "dev") for number, language in enumerate(toy.LANGUAGES)]
    taught = parts[0]._replace(teacher=np.zeros((len(parts[0].gold), 3), np.float32))
    both = join([taught, parts[1]])
    assert both.ids == parts[0].ids + parts[1].ids and len(both.starts) == len(both.ids) + 1
    row = len(parts[0].ids) + 3
    mine = slice(both.starts[row], both.starts[row + 1])
    assert both.gold[mine].tolist() == parts[1].gold[parts[1].starts[3] : parts[1].starts[4]].tolist()
    assert both.languages[row] == 1
    assert both.teacher is not None and np.isnan(both.teacher[mine]).all() and not np.isnan(both.teacher[:5]).any()


def test_a_part_without_rows_joins_between_others(room: Path) -> None:
    """A task without unlabelled text: its soft labels are those of train, none, dev and test."""
    encoder, task = Encoder(room / "models/teacher", 60, "teacher"), lab.task_of("names")
    full = encoder.split(task, "swa", 0, "dev")
    for empty in (encoder._texts([], [], 0), encoder._sentences([], [], 0)):
        both = join([full, empty, full])
        assert both.starts.tolist() == [*full.starts, *(full.starts[1:] + full.starts[-1])]
