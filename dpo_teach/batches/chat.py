"""Tokenize conversations with the tokenizer's chat template: one prompt, and the responses that continue it."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

from dpo_teach.batches.special_tokens import close_response, one_start, without_end_text
from dpo_teach.pairs import Message
from dpo_teach.pairs.errors import first_line

__all__ = ["Chat", "TokenizedChat", "has_chat_template", "render_chat", "tokenize_chats", "unwrap"]

Item = TypeVar("Item")

Messages: TypeAlias = Sequence[Message]
Chat: TypeAlias = tuple[Messages, Sequence[Messages]]
"""The messages of a prompt, and of each response to it."""
TokenizedChat: TypeAlias = tuple[tuple[int, ...], list[tuple[int, ...]]]
"""The ids of a prompt, and of each response to it."""


def has_chat_template(tokenizer: Any) -> bool:
    """Whether a tokenizer has a chat template, which conversations are then rendered with."""
    return bool(getattr(tokenizer, "chat_template", None))


def unwrap(found: Item | ValueError) -> Item:
    """Return a result, or raise it if it is an error.

    >>> unwrap("four")
    'four'
    """
    if isinstance(found, ValueError):
        raise found
    return found


def render_chat(chat: Chat, tokenizer: Any) -> tuple[str, list[str]]:
    """Render a prompt, with the beginning of an assistant's message, and each response that continues it.

    Args:
        chat: the messages.
        tokenizer: a `transformers` tokenizer with a chat template.

    Returns:
        The text of the prompt, and the text of each response, with the special tokens of the template.

    Raises:
        ValueError: the template cannot render the messages, or renders the prompt differently before a response.
    """
    prompt, responses = chat
    start = _render(prompt, tokenizer, add_generation_prompt=True)
    wholes = [_render([*prompt, *response], tokenizer, add_generation_prompt=False) for response in responses]
    for whole in wholes:
        if not whole.startswith(start):
            same = next(i for i in range(len(start)) if start[i] != whole[i : i + 1])
            raise ValueError(f"messages: the chat template ends the prompt with {start[same:][:40]!r}, but writes "
                             f"{whole[same:][:40]!r} in its place before a response; pass another template with "
                             "--chat-template")  # fmt: skip
    return start, [without_end_text(whole[len(start) :], tokenizer) for whole in wholes]


def _render(messages: Messages, tokenizer: Any, *, add_generation_prompt: bool) -> str:
    conversation = [{"role": role, "content": content} for role, content in messages]
    try:
        return tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=add_generation_prompt)
    except Exception as error:  # a template may raise any error
        raise ValueError(f"messages: the chat template cannot render them: {first_line(error)}") from error


def tokenize_chats(chats: Sequence[Chat], tokenizer: Any) -> Iterator[TokenizedChat | ValueError]:
    """Tokenize conversations, all at once, because a tokenizer is many times faster on many texts.

    The ids of a response are those that follow the prompt's ids in the whole conversation. Where the last token of the
    prompt would merge with the first of the response, the response is tokenized on its own. Either way all responses
    continue the same prompt ids. A response ends with the template's end-of-sequence token, or with one added to it.

    Args:
        chats: the messages.
        tokenizer: a `transformers` tokenizer with a chat template and an end-of-sequence token.

    Yields:
        The ids of each conversation, or the error of `render_chat`.
    """
    rendered = [_render_or_error(chat, tokenizer) for chat in chats]
    texts = [text for one in rendered if not isinstance(one, ValueError)
             for text in (one[0], *(one[0] + response for response in one[1]))]  # fmt: skip
    ids = iter(tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else [])
    for one in rendered:
        if isinstance(one, ValueError):
            yield one
        else:
            prompt_ids = one_start(next(ids), tokenizer)
            yield tuple(prompt_ids), [_response_ids(prompt_ids, one_start(next(ids), tokenizer), response, tokenizer)
                                      for response in one[1]]  # fmt: skip


def _render_or_error(chat: Chat, tokenizer: Any) -> tuple[str, list[str]] | ValueError:
    try:
        return render_chat(chat, tokenizer)
    except ValueError as error:
        return error


def _response_ids(prompt_ids: list[int], whole_ids: list[int], response: str, tokenizer: Any) -> tuple[int, ...]:
    if whole_ids[: len(prompt_ids)] == prompt_ids:
        ids = whole_ids[len(prompt_ids) :]
    else:
        ids = tokenizer(response, add_special_tokens=False)["input_ids"]
    return close_response(ids, tokenizer)
