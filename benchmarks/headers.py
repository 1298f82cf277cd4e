"""The data sets that de-identification engines are measured with: made by code, nobody's, as files in memory."""

from __future__ import annotations

from io import BytesIO

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

#: items of the Per-Frame Functional Groups Sequence
FRAMES = 2000
_ROOT = "1.2.826.0.1.3680043.8.498"


def ct_header(number: int) -> bytes:
    """Return a 512 × 512 CT without its pixel data as a file: about 250 elements, 20 of them in items, 60 private."""
    ds = _patient_and_study(str(CTImageStorage), number)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PixelSpacing, ds.ImagePositionPatient = ["0.7", "0.7"], ["-180", "-180", str(number)]
    ds.ImageOrientationPatient, ds.SliceLocation = ["1", "0", "0", "0", "1", "0"], str(number)
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
    ds.WindowCenter, ds.WindowWidth = ["40", "400"], ["400", "2000"]
    ds.ContrastBolusAgent, ds.ContrastBolusStartTime, ds.ProtocolName = "Agent 300", "101500", "Abdomen venous"
    for keyword, value in _SCAN.items():
        setattr(ds, keyword, value)
    ds.ReferencedImageSequence = [_reference(f"{_ROOT}.9.{number}"), _reference(f"{_ROOT}.9.{number + 1}")]
    ds.ReferencedStudySequence = [_reference(f"{_ROOT}.8.1")]
    ds.ProcedureCodeSequence = [_code("ABD", "Abdomen")]
    ds.RequestAttributesSequence = [Dataset()]
    ds.RequestAttributesSequence[0].RequestedProcedureID = "RP-1"
    ds.RequestAttributesSequence[0].ScheduledProcedureStepDescription = "Abdomen"
    ds.RequestAttributesSequence[0].ScheduledProtocolCodeSequence = [_code("ABD", "Abdomen")]
    for group, creator in ((0x0019, "MAKER CT 01"), (0x0021, "MAKER CT 02"), (0x0029, "MAKER CT HEADER")):
        block = ds.private_block(group, creator, create=True)
        for element in range(20):
            vr, value = _PRIVATE[element % len(_PRIVATE)]
            block.add_new(element, vr, value)
    return _encoded(ds)


def enhanced_header(number: int, frames: int = FRAMES) -> bytes:
    """Return an enhanced CT without its pixel data as a file: for each frame one item with four functional groups."""
    ds = _patient_and_study(str(EnhancedCTImageStorage), number)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.NumberOfFrames = frames
    ds.ContentDate, ds.ContentTime = "20240110", "101112"
    shared = Dataset()
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = ["0.7", "0.7"]
    shared.PixelMeasuresSequence[0].SliceThickness = "1"
    shared.PlaneOrientationSequence = [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = [_frame(frame) for frame in range(frames)]
    return _encoded(ds)


def _frame(number: int) -> Dataset:
    content, position, value, kind, item = (Dataset() for _ in range(5))
    content.FrameAcquisitionDateTime = f"20240110101112.{number:06}"
    content.FrameReferenceDateTime = f"20240110101112.{number:06}"
    content.FrameAcquisitionDuration = 500.0
    content.StackID, content.InStackPositionNumber = "1", number + 1
    content.DimensionIndexValues = [1, number + 1]
    position.ImagePositionPatient = ["-180", "-180", str(number)]
    value.WindowCenter, value.WindowWidth = "40", "400"
    kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    item.FrameContentSequence, item.PlanePositionSequence = [content], [position]
    item.FrameVOILUTSequence, item.CTImageFrameTypeSequence = [value], [kind]
    return item


def _patient_and_study(sop_class_uid: str, number: int) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class_uid, f"{_ROOT}.3.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{_ROOT}.1.1", f"{_ROOT}.2.{number // 100}"
    ds.FrameOfReferenceUID, ds.SynchronizationFrameOfReferenceUID = f"{_ROOT}.4.1", f"{_ROOT}.4.2"
    for keyword, value in _COMMON.items():
        setattr(ds, keyword, value)
    ds.InstanceNumber = number
    ds.Rows = ds.Columns = 512
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    return ds


def _reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = str(CTImageStorage), uid
    return item


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "99LOCAL", meaning
    return item


def _encoded(ds: Dataset) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


_COMMON: dict[str, object] = {
    "InstanceCreationDate": "20240110",
    "InstanceCreationTime": "101112.123000",
    "StudyDate": "20240110",
    "SeriesDate": "20240110",
    "AcquisitionDate": "20240110",
    "StudyTime": "101112.123000",
    "SeriesTime": "101112.123000",
    "AcquisitionTime": "101112.123000",
    "AcquisitionDateTime": "20240110101112.123000",
    "AccessionNumber": "A-4711",
    "Modality": "CT",
    "Manufacturer": "MAKER",
    "InstitutionName": "Benchmark Hospital",
    "InstitutionAddress": "1 Nowhere Street",
    "InstitutionalDepartmentName": "Radiology",
    "ReferringPhysicianName": "Referrer^Nobody",
    "PerformingPhysicianName": "Performer^Nobody",
    "OperatorsName": "Operator^Nobody",
    "NameOfPhysiciansReadingStudy": "Reader^Nobody",
    "StationName": "CT01",
    "StudyDescription": "CT abdomen",
    "SeriesDescription": "venous 1.0",
    "ManufacturerModelName": "MODEL 64",
    "PatientName": "Benchmark^Nobody",
    "PatientID": "BENCH-1",
    "IssuerOfPatientID": "HOSPITAL",
    "PatientBirthDate": "19700102",
    "PatientSex": "O",
    "PatientAge": "054Y",
    "PatientSize": "1.75",
    "PatientWeight": "80",
    "PatientAddress": "2 Nowhere Street",
    "OtherPatientIDs": "OTHER-1",
    "EthnicGroup": "none",
    "PatientComments": "none",
    "AdditionalPatientHistory": "none",
    "BodyPartExamined": "ABDOMEN",
    "DeviceSerialNumber": "4711",
    "SoftwareVersions": ["VA40A", "1.2"],
    "PatientPosition": "HFS",
    "StudyID": "1",
    "SeriesNumber": "2",
    "AcquisitionNumber": "1",
    "PositionReferenceIndicator": "",
    "ImageComments": "none",
    "RequestingPhysician": "Requester^Nobody",
    "RequestedProcedureDescription": "CT abdomen",
    "PerformedProcedureStepStartDate": "20240110",
    "PerformedProcedureStepStartTime": "101000",
    "PerformedProcedureStepID": "P-1",
    "PerformedProcedureStepDescription": "CT abdomen",
}

_SCAN: dict[str, object] = {
    "ScanOptions": "HELIX",
    "SliceThickness": "1",
    "KVP": "120",
    "SpacingBetweenSlices": "0.7",
    "DataCollectionDiameter": "500",
    "ReconstructionDiameter": "360",
    "DistanceSourceToDetector": "1085.6",
    "DistanceSourceToPatient": "595",
    "GantryDetectorTilt": "0",
    "TableHeight": "150",
    "RotationDirection": "CW",
    "ExposureTime": "500",
    "XRayTubeCurrent": "200",
    "Exposure": "100",
    "FilterType": "FLAT",
    "GeneratorPower": "24",
    "FocalSpots": "1.2",
    "DateOfLastCalibration": "20240109",
    "TimeOfLastCalibration": "060000",
    "ConvolutionKernel": ["Br40d", "3"],
    "SingleCollimationWidth": 0.6,
    "TotalCollimationWidth": 38.4,
    "TableSpeed": 46.0,
    "TableFeedPerRotation": 23.0,
    "SpiralPitchFactor": 0.6,
    "DataCollectionCenterPatient": [0.0, 0.0, 0.0],
    "ReconstructionTargetCenterPatient": [0.0, 0.0, 0.0],
    "ExposureModulationType": "XYZ_EC",
    "EstimatedDoseSaving": 10.0,
    "CTDIvol": 6.7,
    "CalciumScoringMassFactorDevice": [0.7, 0.7, 0.7],
    "ContrastBolusVolume": "90",
    "ContrastBolusStopTime": "101530",
    "ContrastFlowRate": "3",
    "ContrastFlowDuration": "30",
    "ContrastBolusIngredientConcentration": "300",
    "BurnedInAnnotation": "NO",
    "LossyImageCompression": "00",
    "SmallestImagePixelValue": 0,
    "LargestImagePixelValue": 4095,
    "WindowCenterWidthExplanation": ["SOFT", "BONE"],
    "Laterality": "",
    "TemporalPositionIdentifier": "1",
    "NumberOfTemporalPositions": "1",
    "ImagesInAcquisition": "400",
    "PatientState": "",
    "PregnancyStatus": 4,
    "MedicalAlerts": "",
    "Allergies": "",
    "Occupation": "",
    "SmokingStatus": "UNKNOWN",
    "LastMenstrualDate": "",
    "PatientReligiousPreference": "",
    "AdmissionID": "",
    "CurrentPatientLocation": "WARD 1",
    "RequestingService": "SURGERY",
    "FillerOrderNumberImagingServiceRequest": "F-1",
    "PlacerOrderNumberImagingServiceRequest": "P-1",
    "ScheduledProcedureStepStartDate": "20240110",
    "ScheduledProcedureStepStartTime": "100000",
    "PerformedProcedureStepEndDate": "20240110",
    "PerformedProcedureStepEndTime": "102000",
    "PerformedStationAETitle": "CT01",
    "PerformedStationName": "CT01",
    "PerformedLocation": "ROOM 1",
    "CommentsOnThePerformedProcedureStep": "none",
    "AcquisitionDuration": 7.5,
    "AcquisitionType": "SPIRAL",
    "RevolutionTime": 0.5,
    "ReconstructionAlgorithm": "ITERATIVE",
    "TableTopVerticalPosition": 150.0,
    "ExposureTimeInms": 500.0,
    "XRayTubeCurrentInmA": 200.0,
    "ExposureInmAs": 100.0,
    "IrradiationEventUID": "1.2.826.0.1.3680043.8.498.5.1",
    "DeviceUID": "1.2.826.0.1.3680043.8.498.6.1",
    "VolumetricProperties": "VOLUME",
    "ViewPosition": "",
    "PresentationIntentType": "FOR PRESENTATION",
    "QualityControlImage": "NO",
    "RecognizableVisualFeatures": "NO",
    "LongitudinalTemporalInformationModified": "UNMODIFIED",
    "TimezoneOffsetFromUTC": "+0100",
    "RetrieveAETitle": "PACS",
    "InstanceAvailability": "ONLINE",
    "DerivationDescription": "",
    "PhysiciansOfRecord": "Record^Nobody",
    "AdmittingDiagnosesDescription": "",
    "PatientBirthTime": "",
    "PatientMotherBirthName": "",
    "OtherPatientNames": "Other^Nobody",
    "CountryOfResidence": "",
    "RegionOfResidence": "",
    "PatientTelephoneNumbers": "",
    "ReasonForTheRequestedProcedure": "",
    "RequestedContrastAgent": "",
    "ImageAndFluoroscopyAreaDoseProduct": "0",
    "PixelPaddingValue": 63536,
    "CollimatorType": "",
    "GridID": "1",
    "AcquisitionDeviceProcessingDescription": "none",
    "CassetteOrientation": "",
    "WaterEquivalentDiameter": 290.0,
}

_PRIVATE: list[tuple[str, object]] = [
    ("LO", "private text"),
    ("DS", "1.5"),
    ("IS", "42"),
    ("DA", "20240110"),
    ("OB", b"\1\2" * 50),
    ("FD", 1.25),
]
