"""Lists as text."""

import pytest

from distil.tasks.saved_lists import as_list


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (["a", "b"], ["a", "b"]),
        ("['Amina', \"y'u\"]", ["Amina", "y'u"]),
        ('["Amina", "y\'u"]', ["Amina", "y'u"]),
        ("['Amina' 'yagiye'\n 'Kigali']", ["Amina", "yagiye", "Kigali"]),  # NumPy
        ("[ 'a' ]", ["a"]),
        (r"['\'a', '\u00e9']", ["'a", "é"]),
        ("[0 1\n 2]", [0, 1, 2]),
        ("[0, 1]", [0, 1]),
        ("[]", []),
    ],
)
def test_the_lists_that_writers_make_of_lists_are_read(value: object, found: list[object]) -> None:
    assert as_list(value) == found


@pytest.mark.parametrize(
    "value",
    ["Amina yagiye", "['a''b']", "['a' ... 'b']", "[a, b]", "['a'", "('a', 'b')", "[__import__('os')]", None, 3,
     {"a": 1}, "array(['a'], dtype=object)"],
)  # fmt: skip
def test_anything_else_is_no_list(value: object) -> None:
    assert as_list(value) is None
