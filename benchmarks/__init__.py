"""How fast the gateway is beside DCMTK, Orthanc and a plain pynetdicom receiver; ``python -m benchmarks --help``."""
