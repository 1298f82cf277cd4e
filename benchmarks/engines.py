"""``python -m benchmarks.engines NAME OBJECT SECONDS``: one de-identification engine, in a process of its own.

Each decodes a file in memory, de-identifies it, and encodes it to a file in memory, as those who use it would: what can
be made once for all instances is made before the clock starts. Prints what it did as a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian

from benchmarks.headers import ct_header, enhanced_header

#: makes the function from a file to another one
Engine = Callable[[], Callable[[bytes], bytes]]


def karnak() -> Callable[[bytes], bytes]:
    """Return the engine of this project, with its basic profile."""
    from karnak_core.deidentify import Project, Result, basic_profile, decode_dataset, encode_dataset, file_head

    profile, project = basic_profile().require(), Project(name="BENCHMARK", secret=bytes(range(16)))

    def run(file: bytes) -> bytes:
        # the gateway knows where the data set starts and what its transfer syntax is: the sender said so
        result = profile.apply(decode_dataset(file[_start(file) :], implicit=False), project, "PSN-1", changes=False)
        assert isinstance(result, Result)
        head = file_head(
            result.dataset,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            implementation_class_uid="1.2.826.0.1.3680043.8.498.1",
            implementation_version_name="BENCHMARK",
        )
        return head + encode_dataset(result.dataset, implicit=False)

    return run


def pydicom() -> Callable[[bytes], bytes]:
    """Return what pydicom needs to read every value and to write them all, without doing anything to them."""

    def run(file: bytes) -> bytes:
        ds = dcmread(BytesIO(file))
        for element in ds.iterall():
            _ = element.value
        return _written(ds)

    return run


def deid() -> Callable[[bytes], bytes]:
    """Return deid with the recipe that it comes with."""
    from deid.config import DeidRecipe
    from deid.dicom import replace_identifiers

    recipe = DeidRecipe()

    def run(file: bytes) -> bytes:
        (ds,) = replace_identifiers(dcmread(BytesIO(file)), deid=recipe, remove_private=True)
        return _written(ds)

    return run


def dicognito() -> Callable[[bytes], bytes]:
    """Return dicognito as it is made by default."""
    from dicognito.anonymizer import Anonymizer

    anonymizer = Anonymizer(seed="benchmark")

    def run(file: bytes) -> bytes:
        ds = dcmread(BytesIO(file))
        anonymizer.anonymize(ds)
        return _written(ds)

    return run


def dicom_anonymizer() -> Callable[[bytes], bytes]:
    """Return dicom-anonymizer with its rules, which are those of PS3.15 Table E.1-1."""
    from dicomanonymizer import anonymize_dataset

    def run(file: bytes) -> bytes:
        ds = dcmread(BytesIO(file))
        anonymize_dataset(ds)
        return _written(ds)

    return run


ENGINES: Mapping[str, Engine] = {
    "karnak": karnak,
    "pydicom": pydicom,
    "dicognito": dicognito,
    "dicom-anonymizer": dicom_anonymizer,
    "deid": deid,
}
#: name -> makes the file of a number
OBJECTS: Mapping[str, Callable[[int], bytes]] = {"CT": ct_header, "enhanced CT": enhanced_header}


def main(name: str, kind: str, seconds: float) -> None:
    """Run an engine for some time and print how far it came."""
    warnings.simplefilter("ignore")
    run = ENGINES[name]()
    files = [OBJECTS[kind](number) for number in range(1 if kind == "enhanced CT" else 20)]
    run(ct_header(0))
    count = 0
    # nothing waits for anything here: CPU seconds are what it takes, whatever else the machine does
    start = time.process_time()
    while (used := time.process_time() - start) < seconds:
        for file in files:
            run(file)
        count += len(files)
    print(json.dumps({"instances": count, "cpu_seconds": used}))


def _start(file: bytes) -> int:
    """Return where the data set starts: preamble, prefix, (0002,0000) and as many bytes as that says (PS3.10)."""
    return 144 + int.from_bytes(file[140:144], "little")


def _written(ds: Dataset) -> bytes:
    file = BytesIO()
    ds.save_as(file)
    return file.getvalue()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
