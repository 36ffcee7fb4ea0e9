"""A valid safetensors file of a given size, with one tensor that no model uses."""

from __future__ import annotations

import json
import os
import struct


def padding(size: int) -> bytes:
    rest = size - 8 - 128
    tensor = {"dtype": "U8", "shape": [rest], "data_offsets": [0, rest]}
    header = json.dumps({"__metadata__": {"format": "mlx"}, "padding": tensor}).ljust(128).encode()
    assert len(header) == 128 and rest >= 0
    return struct.pack("<Q", len(header)) + header + os.urandom(rest)
