"""Tiny models whose template is not where most have it, made from `layouts.saying(WORD)`."""

from __future__ import annotations

import json

from tests.support.layouts import Files, changed, saying, without

MAIN = "chat_template.jinja"


def base(word: str) -> Files:
    """A model without a template."""
    return without(saying(word), MAIN)


def tokenizer() -> Files:
    """The files of a tokenizer without a template."""
    names = ("tokenizer.json", "tokenizer_config.json")
    return {name: text for name, text in base("X").items() if name in names}


def elsewhere(word: str, name: str) -> Files:
    """The template under another name; in the `chat_template` of a JSON file."""
    text = saying(word)[MAIN]
    if name.endswith(".json"):
        text = json.dumps({"chat_template": text.decode()}).encode()
    return {**base(word), name: text}


def configured(word: str, **settings: object) -> Files:
    """A base model with more in its tokenizer_config.json."""
    return changed(base(word), "tokenizer_config.json", **settings)
