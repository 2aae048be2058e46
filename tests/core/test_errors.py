"""Values in messages."""

import pytest

from distil.core.errors import cut, described


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a\n b\tc", "a b c"),
        ("a" * 80, "a" * 80),
        ("a" * 1_000_000, "a" * 80 + "... (1,000,000 characters)"),
        ("caf\udce9\x00", "caf\\udce9\\x00"),
        (3, "3"),
    ],
)
def test_a_value_is_cut_to_one_printable_line(value: object, found: str) -> None:
    assert cut(value) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, "nothing"),
        ("Ni byiza", "text, Ni byiza"),
        (["a"], "a list, ['a']"),
        ({"a": 1}, "an object, {'a': 1}"),
        (True, "true or false, True"),
        (1.5, "a number, 1.5"),
    ],
)
def test_a_value_is_described_by_kind_and_beginning(value: object, found: str) -> None:
    assert described(value) == found
