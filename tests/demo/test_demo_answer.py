"""What the fake model says."""

import re

from hypothesis import given
from hypothesis import strategies as st

from proxy.demo.answer import MAX_QUOTE_CHARACTERS, answer, compose, tokenize


def test_the_same_prompt_gets_the_same_answer() -> None:
    assert compose("what is a stream?") == compose("what is a stream?")


def test_an_answer_quotes_the_words_of_its_prompt() -> None:
    assert "“what is a stream?”" in compose("what  is\na stream?")


def test_a_long_prompt_is_quoted_in_part() -> None:
    quoted = re.search("“([^”]*)”", compose("word " * 500))
    assert quoted is not None
    assert len(quoted[1]) == MAX_QUOTE_CHARACTERS
    assert quoted[1].endswith("…")


def test_an_answer_holds_characters_of_one_to_four_bytes() -> None:
    assert {len(character.encode()) for character in compose("hello")} == {1, 2, 3, 4}


@given(st.text())
def test_any_prompt_has_an_answer_whose_tokens_join_to_its_text(prompt: str) -> None:
    text = compose(prompt)
    assert "".join(tokenize(text)) == text


@given(st.text(), st.integers(1, 500))
def test_an_answer_has_the_length_that_was_asked_for(prompt: str, length: int) -> None:
    said = answer(prompt, [prompt], length, None)
    assert len(said.tokens) == length
    assert not said.cut


def test_a_limit_below_the_length_cuts_and_one_above_does_not() -> None:
    assert answer("hi", ["hi"], 10, 9).cut
    assert len(answer("hi", ["hi"], 10, 9).tokens) == 9
    assert not answer("hi", ["hi"], 10, 10).cut


def test_prompt_tokens_are_the_words_of_the_whole_request() -> None:
    assert answer("two words", ["be very brief", "two words"], None, None).prompt_tokens == 5


def test_a_language_without_spaces_has_a_token_a_character() -> None:
    assert tokenize("再见 hello 👩‍🚀") == ["再", "见", " hello", " 👩‍🚀"]
