"""Text is data: nothing in it can become a control token."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from comet_core_tiny import CONTROL, PLAIN_ADDED, make_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from comet_core.prompt import PromptFormat

CHATML = PromptFormat(make_tokenizer(CONTROL))
PLAIN = PromptFormat(make_tokenizer(["<|endoftext|>"]))

Fragments = st.lists(
    st.one_of(st.sampled_from([*CONTROL, *PLAIN_ADDED, "<", "<|", "im_end|>"]), st.text(max_size=5))
).map("".join)


@pytest.mark.parametrize("prompt", [CHATML, PLAIN], ids=["chatml", "plain"])
@given(text=Fragments)
def test_text_has_no_control_token_and_survives(prompt: PromptFormat, text: str) -> None:
    ids = prompt.text(text)
    added = set(prompt.tokenizer.added_tokens_decoder)
    assert not added & set(ids)
    assert prompt.tokenizer.decode(ids) == text


@given(question=Fragments, answer=Fragments)
def test_a_turn_has_only_the_control_tokens_of_its_form(question: str, answer: str) -> None:
    added = CHATML.tokenizer.added_tokens_decoder
    ids = CHATML.question(question) + CHATML.answer(answer)
    control = [added[i].content for i in ids if i in added]
    assert control == ["<|im_start|>", "<|im_end|>", "<|im_start|>", "<|im_end|>"]


def test_forms_are_those_of_training() -> None:
    decode = CHATML.tokenizer.decode
    assert decode(CHATML.question(" Who? ")) == (
        "\n\n<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert decode(CHATML.answer("Emma ")) == "Emma<|im_end|>"
    assert PLAIN.tokenizer.decode(PLAIN.question("Who?")) == "\n\nQuestion: Who?\nAnswer:"
    assert PLAIN.tokenizer.decode(PLAIN.answer("Emma")) == " Emma<|endoftext|>"


def test_a_document_is_its_pieces_one_after_another() -> None:
    assert list(CHATML.document(["ab", "", "c"])) == CHATML.text("ab") + CHATML.text("c")


def test_threads_do_not_make_control_tokens_of_each_others_text() -> None:
    questions = [f"Is {control} the {n}th?" for n in range(300) for control in CONTROL]
    expected = [CHATML.question(question) for question in questions]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(CHATML.question, questions)) == expected
