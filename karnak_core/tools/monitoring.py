"""Which of these DICOM nodes answer? All of a list are asked side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from karnak_core.tools.destinations import side_by_side
from karnak_core.tools.echo import CALLING_AE_TITLE, Echo, EchoState, echo
from karnak_core.tools.nodes import DicomNode

#: seconds for all of them; nodes that are asked at once, and nodes of a list
ALL, AT_ONCE, MOST = 30.0, 16, 500


@dataclass(frozen=True, kw_only=True)
class NodeState:
    """How a node does."""

    node: DicomNode
    echo: Echo


def monitor(
    nodes: Sequence[DicomNode], *, calling_ae_title: str = CALLING_AE_TITLE, seconds: float = ALL
) -> list[NodeState]:
    """Send a C-ECHO to every node, and return how each does, in the order of the nodes.

    Parameters
    ----------
    seconds
        For all of them; one that has not answered then is called *failed*.
    """

    def ask(node: DicomNode) -> NodeState:
        return NodeState(node=node, echo=echo(node, calling_ae_title=calling_ae_title, connect=5.0, answer=10.0))

    def late(node: DicomNode) -> NodeState:
        return NodeState(
            node=node, echo=Echo(state=EchoState.FAILED, message=f"{node}: not answered within {seconds:g} s in all")
        )

    return side_by_side(nodes, ask, late, seconds=seconds, at_once=AT_ONCE)
