"""Make the pictures of mails in ``docs/images`` with Chromium: ``python tools/mail_pictures.py``.

Nobody's study; the words are those of the program, so that the manual shows what people get.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from karnak_core.model import State
from karnak_core.summary import Reason, SeriesSummary, StudySummary
from karnak_plugins.email_notify.mail import as_html
from karnak_plugins.email_notify.words import view

IMAGES = Path(__file__).parents[1] / "docs" / "images"
AT = 1_795_616_143_000
CT, SC = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.7"


def series(number: int, description: str, *classes: str, **counts: int) -> SeriesSummary:
    """Return a series with so many instances of each state."""
    return SeriesSummary(
        series_instance_uid=f"2.25.{98123498127349812734981273498000 + number}",
        facts={"Modality": "CT", "SeriesNumber": str(number), "SeriesDescription": description},
        sop_class_uids=classes,
        counts={State(state): count for state, count in counts.items()},
        first_at=AT,
        last_at=AT,
    )


LUNG = replace(
    series(3, "Thorax lung 1.0 B70f", CT, SC, sent=197, excluded=2, failed=1),
    reasons=(
        Reason(
            state=State.FAILED, text="C-STORE refused by PACS at 10.0.0.7:104: 0xA900 data set does not match", count=1
        ),
        Reason(state=State.EXCLUDED, text="SOP class Secondary Capture Image Storage is not authorized", count=2),
    ),
)
FAILED = StudySummary(
    forward_node="FORWARD",
    destination="research",
    destination_label="dicom PACS at 10.0.0.7:104 (research archive)",
    deidentified=True,
    study_instance_uid="2.25.310416229837512395871629873462871634",
    facts={"PatientID": "R2D2-0042", "StudyDescription": "CT thorax with contrast", "StudyDate": "20261103"},
    series=(LUNG, series(1, "Topogram 0.6 T20f", CT, sent=2), series(2, "Thorax 5.0 B31f", CT, sent=298)),
    first_at=AT,
    last_at=AT + 93_000,
    number=1,
)
RECOVERED = replace(
    FAILED,
    series=(
        replace(LUNG, counts={State.SENT: 198, State.EXCLUDED: 2}, reasons=LUNG.reasons[1:]),
        *FAILED.series[1:],
    ),
    last_at=AT + 3_600_000,
    number=2,
    recovered=True,
)


def picture(summary: StudySummary, path: Path, width: int, height: int, *, dark: bool) -> None:
    """Write a PNG of the mail as a mail program shows it, ``width`` pixels wide."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "mail.html"
        page.write_text(as_html(view(summary)), "utf-8")
        shown = page
        if width < 500:
            # the window of a browser cannot be this narrow, what is in it can
            shown = Path(folder) / "phone.html"
            frame = f'<iframe src="mail.html" width={width} height={height} style="border:0">'
            shown.write_text(f"<style>body{{margin:0}}</style>{frame}")
        look = ["--blink-settings=preferredColorScheme=0"] if dark else []
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *look]
        command += [f"--window-size={width},{height}", f"--screenshot={path}", shown.as_uri()]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    picture(FAILED, folder / "mail.png", 740, 1000, dark=False)
    picture(RECOVERED, folder / "mail-phone.png", 390, 970, dark=True)
