import pytest

from distil.core.errors import UserError
from distil.core.languages import LANGUAGES, check_languages, language
from distil.corpus.language_id import is_other, known_tag


def test_any_language_is_known_by_its_code():
    assert language("amh")[:3] == ("Amharic", "Ethi", "amh_Ethi")
    assert language("zul") == ("Zulu", "Latn", "zul_Latn", "zu")
    assert language("wol").tag == "wo" and language("kab").tag == "kab"
    check_languages(["kin", "amh", "nqo"])


def test_the_tables_agree_on_our_own_languages(monkeypatch):
    for code, ours in LANGUAGES.items():
        with monkeypatch.context() as patch:
            patch.setattr("distil.core.languages.LANGUAGES", {})
            found = language.__wrapped__(code)
        assert (found.name, found.script, found.tag) == (ours.name, ours.script, ours.tag)


@pytest.mark.parametrize("code", ["xyz", "qqq", "english", "", "KIN", "a b", "../x"])
def test_a_code_that_is_none_is_refused(code):
    with pytest.raises(UserError, match="expected an ISO 639-3 code|did you mean 'kin'"):
        check_languages([code])


def test_a_two_letter_code_is_answered_with_the_right_one():
    with pytest.raises(UserError, match="'rw': expected an ISO 639-3 code .*; did you mean 'kin'"):
        check_languages(["rw"])


def test_the_language_check_knows_the_five_languages_and_says_what_it_does_not_know():
    assert [known_tag(code) for code in ("hau", "ibo", "kin", "swa", "yor")] == ["ha", "ig", "rw", "sw", "yo"]
    assert known_tag("wol") == "wo" or known_tag("wol") is None
    assert known_tag("nqo") is None


def test_only_a_line_that_is_surely_in_another_language_is_other():
    english = "The children are playing outside and they are very happy today"
    assert is_other(english, "sw")
    assert not is_other(english, "en")
    assert not is_other("Watoto wanacheza nje na wamefurahi sana leo asubuhi", "sw")
    assert not is_other("12 km", "sw")
    assert not is_other("", "sw")
