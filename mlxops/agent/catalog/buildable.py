"""Whether the host's runtime can build a model: by the list of its mlx-lm's types, and for a type
that is not in it by asking its loader."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from ..clock import Deadline
from ..context import Context
from ..errors import Failed
from ..loader.ask import describe
from ..loader.source import Folder, Listing
from ..models.defaults import model_type_of
from ..models.kinds import is_vision
from ..models.options import require_buildable
from ..programs.environment import vision_types
from ..programs.installed import MULTIMODAL, Installed
from ..registry.entries import Entry

# For all models together; the list decides about the rest.
ASKING_TIMEOUT_S = 60.0


class Loaders:
    """Asks the loader once for each config.json."""

    def __init__(self, ctx: Context, there: Installed) -> None:
        self._ctx, self.there = ctx, there
        self._deadline = Deadline(ASKING_TIMEOUT_S)
        self._answers: Dict[str, str] = {}

    def refusal(self, entry: Entry, settings: Mapping[str, Any]) -> str:
        """Why the runtime cannot build the model of an entry; "" if it can, or if unknown."""
        types = vision_types(self.there.packages) if MULTIMODAL in entry.args else None
        if types is not None and model_type_of(settings) not in types:
            return "the mlx-vlm of %s cannot build a model of type %s" % (
                self.there.runtime.name,
                model_type_of(settings),
            )
        try:
            require_buildable(entry, self.there, settings)
        except Failed as exc:
            return self._ask(entry, exc.message, settings)
        return ""

    def _ask(self, entry: Entry, unlisted: str, settings: Mapping[str, Any]) -> str:
        text = Folder(entry.cache_path).config() or ""
        if text not in self._answers:
            name = entry.repo_id or entry.cache_path
            loads = self._loads(text, name)
            self._answers[text] = "" if loads else self._reason(unlisted, settings)
        return self._answers[text]

    def _loads(self, config_text: str, name: str) -> bool:
        """Whether the loader builds it: the list may not name each type."""
        there = self.there
        if self._deadline.passed or not there.command:
            return False
        source = Listing(config_text, {})
        description = describe(self._ctx, there.runtime, there.command, source, name=name)
        return (
            description is not None
            and bool(description.program)
            and not (description.refusal or description.failure)
        )

    def _reason(self, unlisted: str, settings: Mapping[str, Any]) -> str:
        if not is_vision(settings):
            return unlisted
        name = self.there.runtime.name
        if not self.there.supports_vision:
            return "a vision model (%s), which %s does not serve" % (
                model_type_of(settings),
                name,
            )
        return "a vision model (%s): install mlx-vlm beside %s" % (model_type_of(settings), name)
