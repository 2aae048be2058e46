"""Views of a text: without marks, in Latin letters; what stays as it is, and what they need."""

import subprocess
import sys
import unicodedata
from collections.abc import Iterator

import pytest

from distil.core.errors import UserError
from distil.text import views
from distil.text.views import TextView, in_latin_script, romaniser, without_marks


@pytest.mark.parametrize(
    ("line", "bare"),
    [
        ("Ọ̀rọ̀ ẹlẹ́wà ṣe pàtàkì", "Oro elewa se pataki"),
        ("ụlọ akwụkwọ", "ulo akwukwo"),
        ("ɓarna ƙasa ɗaki", "ɓarna ƙasa ɗaki"),  # letters that are no other letter with a mark
        ("मा", "मा"),  # a vowel sign that takes room (Mc) is no mark beside a letter (Mn)
        ("plain ASCII, 12!", "plain ASCII, 12!"),
        ("", ""),
    ],
)
def test_marks_go_and_nothing_else_does(line: str, bare: str) -> None:
    assert without_marks(line) == bare
    assert without_marks(unicodedata.normalize("NFD", line)) == bare
    assert without_marks(bare) == bare


@pytest.mark.parametrize(
    ("line", "latin"),
    [
        ("ሰላም ለዓለም። እንዴት ነህ?", "salaame laaalame. enedeete nahe?"),
        ("ሰላም፡ዓለም ፳፻፲፪ 😀", "salaame aalame 2012 😀"),
        ("Москва", "Moskva"),
        ("مُحَمَّد", "muhamad"),  # with marks of no script of their own
        ("Ọ̀rọ̀ ɓarna", "Ọ̀rọ̀ ɓarna"),  # Latin letters stay, with their marks
        ("a ሰላም Ọ̀", "a salaame Ọ̀"),
        ("plain ASCII, 12!", "plain ASCII, 12!"),
    ],
)
def test_letters_of_other_scripts_become_latin_ones(line: str, latin: str) -> None:
    assert in_latin_script(line) == latin
    assert in_latin_script(latin) == latin


def test_a_word_is_written_alike_in_every_text() -> None:
    words = ["ሰላም", "ልጆች", "በግቢው", "ይጫወታሉ"]
    assert in_latin_script(" ".join(words)).split() == list(map(in_latin_script, words))


def test_a_view_normalises_transliterates_and_takes_marks_off() -> None:
    view = TextView(normalised=True, marks="drop", script="latin")
    assert view("@user Ọ̀RỌ̀ ሰላም! http://a.b 3") == "oro salaame"
    assert view("😀 12") == ""
    assert TextView()("Ọ̀rọ̀ ሰላም!") == "Ọ̀rọ̀ ሰላም!"


def test_a_manifest_names_marks_and_script_only_where_they_are_not_kept() -> None:
    assert TextView(normalised=True).as_manifest() == {"normalised": True}
    assert TextView(False, "drop", "latin").as_manifest() == {"normalised": False, "marks": "drop", "script": "latin"}


def test_uroman_is_imported_only_where_a_text_needs_it() -> None:
    code = (
        "import sys, distil.serving.predictor\n"
        "from distil.text.views import TextView\n"
        "TextView(True, 'drop', 'keep')('Ọ̀rọ̀ ሰላም')\n"
        "sys.exit('uroman' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def without_uroman(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    caches = (romaniser, views._other_script, views._romanised)
    for cached in caches:
        cached.cache_clear()
    monkeypatch.setitem(sys.modules, "uroman", None)
    yield
    for cached in caches:
        cached.cache_clear()


def test_where_uroman_is_not_installed_one_sentence_says_what_brings_it(without_uroman: None) -> None:
    with pytest.raises(UserError, match=r"uroman, which is not installed; run `pip install 'distil\[latin\]'`$"):
        in_latin_script("ሰላም")
    assert in_latin_script("plain") == "plain"
