"""The pages of the DICOM tools."""
