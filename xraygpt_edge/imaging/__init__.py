"""A file into a radiograph: read in an isolated process, judged, and made into the encoder's tensor."""
