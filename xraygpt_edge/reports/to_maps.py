"""The maps of a batch's answers as PNG files, from its records and the radiographs; the model is not needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xraygpt_edge.errors import InputRefused, UsageError
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.imaging.preprocess import Fitting, fit
from xraygpt_edge.records import MapTrust
from xraygpt_edge.reports import map_pictures
from xraygpt_edge.reports.job import Job, LeftOut, Written, make_folder, unused_name
from xraygpt_edge.reports.rows import Radiograph
from xraygpt_edge.reports.thumbnails import pixels_of


def write(job: Job) -> Written:
    """A file for each map that is shown, named by the record's id: patient images.

    Raises UsageError when the radiographs are not named, OutputError.
    """
    if job.images is None:
        raise UsageError("E-REP-005")
    make_folder(job.out)
    files, used, left_out = 0, set[str](), list[LeftOut]()
    with Reader() as reader:
        for radiograph in job.batch.radiographs:
            maps = _maps(radiograph)
            if maps is None:
                continue
            target = job.out / unused_name(radiograph.first, used)
            try:
                files += len(_written(reader, job.images, radiograph, maps, target))
            except InputRefused as error:
                left_out.append(LeftOut.because(radiograph.first, error))
    return Written(files, tuple(left_out))


def _maps(radiograph: Radiograph) -> MapTrust | None:
    """The maps of all answers about a radiograph, one of each finding."""
    found = [row.trust.maps for row in radiograph.answers if row.trust and row.trust.maps]
    if not found:
        return None
    findings = {drawn.finding: drawn for maps in found for drawn in maps.findings}
    return MapTrust(found[0].fit, found[0].size_px, tuple(findings.values()))


def _written(reader: Reader, images: Path, radiograph: Radiograph, maps: MapTrust, target: Path) -> list[Path]:
    model_view = np.asarray(fit(pixels_of(reader, images, radiograph.first), Fitting(maps.fit, maps.size_px)))
    return map_pictures.write(target.parent, target.name, model_view, maps, radiograph.first.notice)
