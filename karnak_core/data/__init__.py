"""Tables of the DICOM standard, made by ``tools/generate_standard_tables.py``; each file names its edition."""
