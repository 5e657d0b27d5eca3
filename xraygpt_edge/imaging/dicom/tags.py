"""The elements that are read from a file. No other one is parsed, and none of these names a patient.

StudyInstanceUID identifies a study in its archive; nothing but a hash of it leaves `header`.
"""

from __future__ import annotations

IMAGE = (
    "SOPClassUID", "StudyInstanceUID", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation",
    "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "NumberOfFrames",
    "PixelData", "FloatPixelData", "DoubleFloatPixelData",
)  # fmt: skip
GREY = (
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth",
    "VOILUTFunction", "VOILUTSequence", "PresentationLUTShape", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "LossyImageCompression",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
)  # fmt: skip
GEOMETRY = (
    "PatientOrientation", "PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing",
)  # fmt: skip
CONTENT = (
    "Modality", "BodyPartExamined", "ViewPosition", "ViewCodeSequence", "AnatomicRegionSequence",
    "BurnedInAnnotation", "PresentationIntentType", "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence", "PatientBreedDescription", "AcquisitionDeviceProcessingDescription",
    "SeriesDescription", "StudyDescription", "ProtocolName", "Laterality", "ImageLaterality", "Manufacturer",
    "DeviceSerialNumber",
)  # fmt: skip
"""Free text is only searched for words such as LATERAL; it is never quoted."""
OVERLAY_GROUPS = tuple(range(0x6000, 0x6020, 2))
OVERLAY_BIT_POSITION, OVERLAY_DATA = 0x0102, 0x3000
OVERLAYS = tuple(group << 16 | element for group in OVERLAY_GROUPS for element in (OVERLAY_BIT_POSITION, OVERLAY_DATA))

TAGS: tuple[str | int, ...] = (*IMAGE, *GREY, *GEOMETRY, *CONTENT, *OVERLAYS)
