"""E-IMG, E-DCM, W-IMG, W-DCM: the radiograph and what was found in its file."""

from __future__ import annotations

from xraygpt_edge.catalogue.entry import Entry

SAFE = "No answer was computed from it."
SAVE = "xraygpt-edge inspect FILE --save PICTURE.png"
INSPECT = "See what the file holds: xraygpt-edge inspect FILE."
EXPORT_AGAIN = "Export the picture again from the archive, uncompressed or in JPEG 2000 lossless."
PICTURES = "PNG, JPEG, TIFF, WebP, BMP and JPEG 2000"
FORCE = "If you are sure, pass --force; the result will say so."


def _refusal(what: str, meaning: str, fix: str) -> Entry:
    return Entry(4, what, meaning, fix, SAFE)


def _warning(what: str, meaning: str, fix: str = "") -> Entry:
    return Entry(0, what, meaning, fix)


PICTURE_REFUSALS = {
    "E-IMG-001": _refusal(
        "the file is neither DICOM nor a picture that is read",
        "The first bytes decide what a file is, not its name. These fit none of the formats that are read.",
        f"Give the DICOM file of the radiograph, or a picture of it: {PICTURES}.",
    ),
    "E-IMG-002": _refusal(
        "the file is empty",
        "It has no bytes: a copy was cut off before it began, or the disk was full.",
        "Copy the file again.",
    ),
    "E-IMG-003": _refusal(
        "the file cannot be opened",
        "It does not exist, or you may not read it.",
        "Check the path and the permissions.",
    ),
    "E-IMG-004": _refusal(
        "this is not a regular file",
        "Folders, pipes, sockets and devices are not read: a pipe could keep the program waiting for ever.",
        "Give one file; for a folder use: xraygpt-edge batch FOLDER.",
    ),
    "E-IMG-005": _refusal(
        "the file is too large",
        "A radiograph has 100 MB at most; 512 MB is the limit here.",
        "Give the file of one radiograph.",
    ),
    "E-IMG-006": _refusal(
        "the picture is damaged or cut short",
        "Its decoder stopped before the end. Half a picture is never passed on.",
        "Copy or export the picture again.",
    ),
    "E-IMG-007": _refusal(
        "the picture has too many pixels",
        "More than 100 million pixels: no radiograph has that many, and unpacking them could use all memory.",
        "Give the radiograph in its own size.",
    ),
    "E-IMG-008": _refusal(
        "the file holds several pictures",
        "Pages, or an animation: which of them is meant cannot be known.",
        "Save the one picture in a file of its own.",
    ),
    "E-IMG-009": _refusal(
        "the picture is black and white only",
        "With one bit a pixel there are no grey levels to look at.",
        "Give a picture with grey levels.",
    ),
    "E-IMG-010": _refusal(
        "the picture is blank",
        "All pixels, or nearly all, have one value: there is nothing to see in it.",
        "Check that the right file was exported.",
    ),
    "E-IMG-011": _refusal(
        "the picture is too small",
        "With fewer than 32 pixels on a side no finding is visible; it may be an icon.",
        f"Give the radiograph in its own size. {FORCE}",
    ),
    "E-IMG-012": _refusal(
        "this file format is not read",
        f"DICOM is read, and {PICTURES}. Archives are not opened, and pages are not drawn.",
        "Export the radiograph as DICOM, save it as PNG, or unpack the archive.",
    ),
    "E-IMG-020": _refusal(
        "the picture's pixels are of a kind that is not read",
        "Its format is read, but not with this depth, compression or colour: no decoder here is sure to give all "
        "of its grey levels the right way round.",
        "Save the picture as PNG or TIFF with 8 or 16 bits of grey, without losing depth.",
    ),
    "E-IMG-030": _refusal(
        "the picture is far from a frontal chest radiograph",
        "By its pixels alone it is something else: a CT slice, another part of the body, a photograph, a page. "
        "The model would describe a chest all the same.",
        f"Give a frontal chest radiograph. {FORCE}",
    ),
    "E-IMG-031": _refusal(
        "the weights that pictures are judged with are missing or damaged",
        "They belong to the installation; their hash is not the one that was noted when they were made.",
        "Install again: pip install --force-reinstall xraygpt-edge[cpu].",
    ),
}

DICOM_REFUSALS = {
    "E-DCM-001": _refusal(
        "the DICOM header cannot be read",
        "The file begins like DICOM, but its elements do not follow each other as they must: it is damaged, "
        "or something else.",
        "Copy or export the file again.",
    ),
    "E-DCM-002": _refusal(
        "this DICOM object holds no radiograph",
        "Reports, presentation states, segmentations, waveforms, plans and documents are DICOM objects, too. "
        "Some can be decoded as if they were pictures, with a meaningless result.",
        "Give the file of the radiograph itself.",
    ),
    "E-DCM-003": _refusal(
        "this is a picture, but no radiograph",
        "CT, MR, ultrasound and other pictures look nothing like what the model was trained on.",
        f"Give a chest radiograph (CR, DX or secondary capture). {FORCE}",
    ),
    "E-DCM-004": _refusal(
        "the file does not say what kind of object it is",
        "Without a SOP class it cannot be told from a report, a plan or random bytes.",
        "Export the file again from the archive.",
    ),
    "E-DCM-005": _refusal(
        "the file is of an image class but its pixels are missing",
        "The file was cut short, or the pixels were removed on purpose.",
        "Copy or export the file again.",
    ),
    "E-DCM-006": _refusal(
        "this transfer syntax cannot be decoded",
        "The pixels are compressed in a way for which no trustworthy decoder exists here.",
        EXPORT_AGAIN,
    ),
    "E-DCM-007": _refusal(
        "the decoder for this transfer syntax is not installed",
        "It belongs to a complete installation; something removed it.",
        "Install again: pip install --force-reinstall xraygpt-edge[cpu].",
    ),
    "E-DCM-008": _refusal(
        "the compressed pixels are damaged or cut short",
        "Their decoder stopped. Half a picture is never passed on.",
        EXPORT_AGAIN,
    ),
    "E-DCM-009": _refusal(
        "the file holds fewer pixels than its header says",
        "It was cut short, or the header is wrong.",
        "Copy or export the file again.",
    ),
    "E-DCM-010": _refusal(
        "the file holds more pixels than its header says",
        "Rows, columns or the number of frames are probably wrong; the picture would be cut or sheared.",
        f"{INSPECT} {FORCE}",
    ),
    "E-DCM-011": _refusal(
        "the file holds several frames",
        "Tomosynthesis, dual energy or a film loop: which frame is meant cannot be known.",
        "Choose one with --frame N.",
    ),
    "E-DCM-012": _refusal(
        "there is no such frame in the file",
        "The frame that was asked for does not exist, or the header announces more frames than there are.",
        INSPECT,
    ),
    "E-DCM-013": _refusal(
        "the header describes its pixels in a way that cannot be read",
        "An element that is needed to read the pixels is absent, impossible or contradicts another.",
        "Export the file again from the archive.",
    ),
    "E-DCM-014": _refusal(
        "the header announces too many pixels",
        "More than 100 million: no radiograph has that many, and unpacking them could use all memory.",
        "Give the file of one radiograph.",
    ),
    "E-DCM-015": _refusal(
        "unpacking the file would need too much memory",
        "It is deflated to a tiny part of its size, as no radiograph can be: a decompression bomb.",
        "Do not trust the source of this file.",
    ),
    "E-DCM-016": _refusal(
        "the compressed picture is not the one that the header describes",
        "Both state size and depth, and they differ. One of them is wrong, and which one cannot be known.",
        EXPORT_AGAIN,
    ),
    "E-DCM-017": _refusal(
        "this is a DICOM directory",
        "A DICOMDIR lists other files; its references are not followed.",
        "Give the file of the radiograph, or: xraygpt-edge batch FOLDER.",
    ),
    "E-DCM-020": _refusal(
        "reading the file needs too much memory",
        "The process that reads files may use a limited amount, far more than any radiograph needs.",
        "Do not trust the source of this file; export it again from the archive.",
    ),
    "E-DCM-021": _refusal(
        "reading the file takes too long",
        "A damaged or hostile file can keep a decoder busy for ever; its process was ended.",
        "Export the file again from the archive.",
    ),
    "E-DCM-022": _refusal(
        "the process that reads files died while it read this one",
        "A native decoder crashed, twice; only that process was lost.",
        "Export the file again from the archive, in another transfer syntax.",
    ),
    "E-DCM-023": _refusal(
        "the reader met a case in this file that it does not handle",
        "The file breaks the standard in a way that was not foreseen.",
        "Export the file again from the archive.",
    ),
}

DICOM_WARNINGS = {
    "W-DCM-001": _warning(
        "this is probably not a chest radiograph",
        "The header names another body part. The model knows frontal chest radiographs only.",
    ),
    "W-DCM-002": _warning(
        "nothing in the file says that this is a chest radiograph",
        "The body part is not stated. The model knows frontal chest radiographs only.",
    ),
    "W-DCM-003": _warning(
        "the file does not say that this is a radiograph",
        "Its modality is not one of those that make chest radiographs.",
    ),
    "W-DCM-005": _warning(
        "this is a raw detector picture (FOR PROCESSING)",
        "The model was trained on pictures processed for presentation; raw ones have other contrast.",
        "Use the FOR PRESENTATION picture of the same exposure.",
    ),
    "W-DCM-006": _warning(
        "text is burned into the picture",
        "The header says so. It may identify the patient, and every picture saved from it carries it.",
    ),
    "W-DCM-007": _warning(
        "this is probably a lateral view",
        "The model knows frontal views only.",
    ),
    "W-DCM-008": _warning(
        "this is probably an animal",
        "The header describes a veterinary picture. The model knows people only.",
    ),
    "W-DCM-009": _warning(
        "the header contradicts itself about polarity",
        "PresentationLUTShape and PhotometricInterpretation disagree; the second one was followed.",
        "Look at the picture: xraygpt-edge inspect FILE --save PICTURE.png.",
    ),
    "W-DCM-010": _warning(
        "the pixels have more bits than the header says",
        "The surplus bits continue the picture without a break, so they were kept.",
    ),
    "W-DCM-011": _warning(
        "the pixel values do not lie in the lowest bits",
        "HighBit says that they lie higher up; they were moved down.",
    ),
    "W-DCM-012": _warning(
        "the modality transform turns the polarity round",
        "Its slope is negative or its table falls; the picture was inverted accordingly.",
    ),
    "W-DCM-013": _warning(
        "the picture was mirrored or turned as the header says",
        "PatientOrientation says that left and right, or head and feet, are stored the other way round.",
    ),
    "W-DCM-014": _warning(
        "the orientation that the header states was not applied",
        "PatientOrientation is not that of a frontal view, or is malformed; the picture stays as it is stored.",
    ),
    "W-DCM-015": _warning(
        "the pixels are not square; the picture was stretched accordingly",
        "PixelAspectRatio, or the spacing of the pixels, of the imager or of the scanner, says so.",
    ),
    "W-DCM-016": _warning(
        "the file does not state its transfer syntax; it was told from the bytes",
        "The DICOM file header is missing or incomplete.",
    ),
    "W-DCM-017": _warning(
        "the window or VOI table in the header was ignored",
        "It cannot be applied or leaves next to nothing to see; the whole range is shown instead.",
    ),
    "W-DCM-019": _warning(
        "the pixels are not square, but the picture is too large to stretch",
        "It stays as it is stored.",
    ),
    "W-DCM-020": _warning(
        "one frame of several was read",
        "It was chosen with --frame.",
    ),
    "W-DCM-021": _warning(
        "the compressed picture contradicts the header about the sign of its values",
        "PixelRepresentation was not followed, because the picture would break where values change their sign.",
    ),
    "W-DCM-022": _warning(
        "the header contradicts itself about where the pixel values lie",
        "HighBit does not go with BitsStored; the pixels fit the lowest bits, so it was not followed.",
    ),
    "W-DCM-023": _warning(
        "the file is of a class that is not in the standard",
        "It has pixels and the modality of a radiograph, as some manufacturers store theirs, so it was read as one.",
        "Look at the picture: xraygpt-edge inspect FILE --save PICTURE.png.",
    ),
    "W-DCM-024": _warning(
        "the compressed pixels have no end mark",
        "The file may have been cut there; every part of the picture is there.",
    ),
    "W-DCM-025": _warning(
        "the header contradicts itself about the shape of a pixel",
        "Of PixelAspectRatio, PixelSpacing, ImagerPixelSpacing and NominalScannedPixelSpacing the first possible one "
        "was followed.",
        "Look at the picture: xraygpt-edge inspect FILE --save PICTURE.png.",
    ),
    "W-DCM-031": _warning(
        "the header says that this chest radiograph shows one side only",
        "Laterality or ImageLaterality names a side, though a chest film has both. Right and left may be confused.",
    ),
}

PICTURE_WARNINGS = {
    "W-IMG-001": _warning(
        "this is a colour picture; its brightness was used",
        "Radiographs are grey. It may be a photograph of a screen or film, or no radiograph at all.",
    ),
    "W-IMG-002": _warning(
        "transparent parts were laid on black",
        "The picture has an alpha channel.",
    ),
    "W-IMG-003": _warning(
        "the picture is smaller than what the model looks at",
        "Small findings cannot be seen in it.",
    ),
    "W-IMG-004": _warning(
        "the picture looks inverted",
        "Lungs seem bright and the heart dark, against what the file says. It was not changed.",
        f"Look at it: {SAVE}, and invert it in the program that it comes from.",
    ),
    "W-IMG-005": _warning(
        "the picture looks upside down",
        "It looks like a chest radiograph whose head is at the bottom. It was not turned.",
        f"Look at it: {SAVE}, and turn it by half a turn.",
    ),
    "W-IMG-006": _warning(
        "the picture does not look like a frontal chest radiograph",
        "Severe disease, a lateral view or another body part may be the reason.",
        f"Look at it: {SAVE}.",
    ),
    "W-IMG-007": _warning(
        "large parts of the picture are clipped to white",
        "What lies there is lost, or a white frame surrounds the picture.",
    ),
    "W-IMG-008": _warning(
        "the picture has few grey levels",
        "Fine differences are lost.",
    ),
    "W-IMG-009": _warning(
        "the picture was turned as its orientation tag says",
        "Cameras, telephones and scanners write such tags.",
    ),
    "W-IMG-020": _warning(
        "the picture looks turned by a quarter",
        "It looks like a chest radiograph whose head is at the left or at the right. It was not turned.",
        f"Look at it: {SAVE}, and turn it until the head is at the top.",
    ),
    "W-IMG-021": _warning(
        "the picture seems to hold more than one film",
        "Two pictures side by side or one above the other: the model sees each squeezed, and mixes them up.",
        "Give each film as a file of its own.",
    ),
    "W-IMG-022": _warning(
        "the picture looks like a lateral view",
        "The model knows frontal views only.",
        f"Look at it: {SAVE}, and give the frontal view.",
    ),
    "W-IMG-023": _warning(
        "the picture looks tilted",
        "The model's training pictures stand upright, within about ten degrees.",
        f"Look at it: {SAVE}, and export the film upright.",
    ),
    "W-IMG-024": _warning(
        "the picture seems to show only a part of the chest",
        "One lung, or a section of the film: what lies outside it cannot be described, and sizes mislead.",
        "Give the whole film.",
    ),
    "W-IMG-025": _warning(
        "the picture looks like a film in a window or on a screen",
        "A screenshot of a viewer, or a photograph of a monitor or light box: the film is only a part of it.",
        "Export the film itself from the archive or the viewer.",
    ),
    "W-IMG-026": _warning(
        "the picture is blurred",
        "It has far fewer details than its number of pixels would allow: enlarged from a small picture, moved, or out "
        "of focus. Small findings cannot be seen in it.",
        "Give the radiograph in its own size.",
    ),
    "W-IMG-027": _warning(
        "the picture is very noisy",
        "Grain hides fine detail, and may look like disease.",
    ),
    "W-IMG-028": _warning(
        "large parts of the picture are clipped to black",
        "It is under-exposed, or its window was set too high; what lies there is lost.",
        "Export it again with the whole range of grey levels.",
    ),
    "W-IMG-029": _warning(
        "the picture has little contrast",
        "Nearly all of it lies within a narrow range of grey levels. It was not changed.",
        "Export it again with the whole range of grey levels.",
    ),
    "W-IMG-030": _warning(
        "the model sees only the middle of the film",
        "It was trained on square pictures that are cut from the middle: what lies outside, such as the apices or the "
        "costophrenic angles, cannot be described.",
        f"Look at what it sees: {SAVE}.",
    ),
}

IMAGE: dict[str, Entry] = {**PICTURE_REFUSALS, **DICOM_REFUSALS, **DICOM_WARNINGS, **PICTURE_WARNINGS}
