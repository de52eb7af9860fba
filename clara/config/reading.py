"""YAML as people mean it: keys that stand twice and numbers that YAML 1.1 reads otherwise are refused."""

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, ScalarNode

from clara.errors import ConfigError

OCTAL = re.compile(r"[+-]?0[0-9_]+")
SIXTIES = re.compile(r"[+-]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")


class _Reader(yaml.SafeLoader):
    """The safe loader with the refusals below."""

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        """The mapping, each key once. Composing comes before `<<` is spread, which may repeat keys."""
        node: MappingNode = super().compose_mapping_node(anchor)
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise ConfigError(
                        f"{self.name} line {line}: the key {key.value} stands twice in one section, first in line "
                        f"{seen[key.value]}; keep one of them"
                    )
                seen[key.value] = line
        return node

    def compose_scalar_node(self, anchor: Any) -> ScalarNode:
        """The scalar, unless it is a number that YAML 1.1 reads to base 8 or 60."""
        node: ScalarNode = super().compose_scalar_node(anchor)
        if node.tag.endswith((":int", ":float")) and node.style is None:
            line = node.start_mark.line + 1
            if OCTAL.fullmatch(node.value):
                raise ConfigError(
                    f"{self.name} line {line}: YAML 1.1 reads {node.value} as an octal number; leave out the leading "
                    "zero, or put the text in quotes"
                )
            if SIXTIES.fullmatch(node.value):
                raise ConfigError(
                    f"{self.name} line {line}: YAML 1.1 reads {node.value} as a number to base 60; put it in quotes"
                )
        return node


def from_command_line(value: Any) -> Any:
    """A value that Snakemake took from `--config`: in lists and mappings it leaves every number a text.

    >>> from_command_line({"ratios": ["4", "16"]})
    {'ratios': [4, 16]}
    """
    if isinstance(value, dict):
        return {key: from_command_line(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [from_command_line(entry) for entry in value]
    return parse(value, "--config") if isinstance(value, str) else value


def parse(text: str, name: str) -> Any:
    """The value of a YAML text.

    Args:
        text: the file's content.
        name: the file's name, for messages.

    Raises:
        ConfigError: a key stands twice or a number is ambiguous; names file and line.
        yaml.YAMLError: the text is no YAML.
    """
    reader = _Reader(text)
    reader.name = name
    try:
        return reader.get_single_data()
    finally:
        reader.dispose()
