"""plan: what apply would do, port by port; changes nothing."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from ..context import Context
from ..slots.prepare import options_of, prepare


def plan(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    return prepare(ctx, options_of(ctx, args)).plan.to_wire()
