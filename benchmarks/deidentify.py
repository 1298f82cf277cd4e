"""The scenario ``deidentify``: the engine alone, in memory, beside others; measured in CPU seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from benchmarks.engines import ENGINES, OBJECTS
from benchmarks.measure import spin
from benchmarks.plan import Plan
from benchmarks.results import Case, Measurement

#: engine -> module that it is in
_MODULES = {"dicognito": "dicognito", "dicom-anonymizer": "dicomanonymizer", "deid": "deid"}


def deidentify(plan: Plan) -> Iterator[Measurement]:
    """One object after the other, by each engine in a process of its own, round after round."""
    for kind, make in OBJECTS.items():
        case = Case(scenario="deidentify", size=len(make(0)), associations=1, sender=kind)
        for round_ in range(plan.rounds):
            for engine in ENGINES:
                yield _measured(engine, case, round_, plan)


def _measured(engine: str, case: Case, round_: int, plan: Plan) -> Measurement:
    busy = spin()
    found, problem = _run(engine, case.sender, plan)
    seconds = found["cpu_seconds"]
    return Measurement(
        case=case,
        system=engine,
        round=round_,
        instances=int(found["instances"]),
        seconds=seconds,
        preparation_seconds=0.0,
        answered_seconds=seconds,
        cpu_seconds={engine: seconds},
        sender_cpu_seconds=0.0,
        spin_seconds=busy,
        problem=problem,
    )


def _run(engine: str, kind: str, plan: Plan) -> tuple[dict[str, float], str]:
    """Return what an engine did, or why it did nothing."""
    nothing = {"instances": 1, "cpu_seconds": plan.at_most}
    if engine in _MODULES and find_spec(_MODULES[engine]) is None:
        return nothing, "not installed: pip install '.[benchmarks]'"
    command = [sys.executable, "-m", "benchmarks.engines", engine, kind, str(0.5 if plan.quick else 2.0)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10 * plan.at_most)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        return nothing, type(error).__name__
    # what the engines say themselves stands before
    return json.loads(done.stdout.splitlines()[-1]), ""
