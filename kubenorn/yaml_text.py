"""YAML that comes out the same, byte for byte, for the same data."""

from io import BytesIO
from typing import Any

from ruamel.yaml import YAML


def yaml_bytes(data: Any) -> bytes:
    """Return `data` as block-style YAML in the order of its keys, long strings on one line."""
    writer = YAML()
    writer.default_flow_style = False
    writer.width = 2**30
    writer.indent(mapping=2, sequence=4, offset=2)
    stream = BytesIO()
    writer.dump(data, stream)
    return stream.getvalue()
