"""A model as it is typed or pasted: an entry, a repo, an address of the Hub, a cache folder."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from ...agent.errors import Usage

HUB = ("huggingface.co", "www.huggingface.co", "hf.co", "www.hf.co")
OTHER_KINDS = ("datasets", "spaces", "collections", "papers", "docs")
REVISION_AFTER = ("tree", "blob", "resolve", "raw", "commit", "commits")
# Quotes, blanks and invisible characters that come along with a pasted word.
AROUND = " \t\r\n\"'`<>\u201c\u201d\u2018\u2019\u00a0\u200b\ufeff"
CACHE_FOLDER = re.compile(
    r"(?:^|/)models--([^/]+?)--([^/]+)(?:/snapshots/([0-9a-f]{7,64}))?(?:/|$)"
)
AT_REVISION = re.compile(r"([^/@\s]+/[^/@\s]+)@([^@\s]+)")
URL = re.compile(r"(?:https?|hf)://|(?:www\.)?(?:huggingface\.co|hf\.co)/", re.I)


class ModelWord(NamedTuple):
    """What a word names: an entry or a repo, and a revision other than main."""

    name: str
    revision: str | None = None


def model_word(typed: str) -> ModelWord:
    """The model that a typed word names; Usage for an address that cannot be one."""
    word = typed.strip(AROUND)
    if not word:
        raise Usage(f"expected a model, got {typed!r}", "mlxops list", word=typed)
    if word.startswith("git@hf.co:"):
        word = word.replace("git@hf.co:", "hf.co/")
    if URL.match(word):
        return _of_address(word)
    if folder := CACHE_FOLDER.search(word):
        return ModelWord(f"{folder[1]}/{folder[2]}", folder[3])
    if word[0] in "/~.":
        return ModelWord(word)
    word = re.sub(r"\s*/\s*", "/", word).rstrip("/") or word
    if at := AT_REVISION.fullmatch(word):
        return ModelWord(at[1], _other_than_main(at[2]))
    return ModelWord(word)


def model_at(typed: str, revision: str | None) -> ModelWord:
    """The model of a word, at the revision of --revision or of the word; Usage if they differ."""
    word = model_word(typed)
    if revision and word.revision and revision != word.revision:
        raise Usage(
            f"two revisions: {word.revision} in {typed!r}, and --revision {revision}",
            "give one of them",
            word=typed,
        )
    return ModelWord(word.name, revision or word.revision)


def _of_address(address: str) -> ModelWord:
    """The repo in an address of the Hub, or of $HF_ENDPOINT."""
    if address.lower().startswith("hf://"):
        return model_word(address[len("hf://") :])
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
    except ValueError:
        raise Usage(f"{address} is not an address", "give ORG/NAME", word=address) from None
    own = urlsplit(os.environ.get("HF_ENDPOINT", "")).hostname
    path = [unquote(part) for part in parts.path.split("/") if part]
    path = path[2:] if path[:2] == ["api", "models"] else path
    if parts.hostname not in (*HUB, own):
        raise Usage(f"{parts.hostname} is not the Hugging Face Hub", "give ORG/NAME", word=address)
    if len(path) < 2 or path[0] in OTHER_KINDS:
        raise Usage(f"{address} is not the address of a model", "give ORG/NAME", word=address)
    repo = ModelWord(f"{path[0]}/{path[1].removesuffix('.git')}")
    if len(path) > 3 and path[2] in REVISION_AFTER:
        return repo._replace(revision=_other_than_main(path[3]))
    name, at, revision = repo.name.partition("@")
    return ModelWord(name, _other_than_main(revision)) if at else repo


def _other_than_main(revision: str) -> str | None:
    return None if revision == "main" else revision
