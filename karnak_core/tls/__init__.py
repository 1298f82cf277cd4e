"""TLS by BCP 195 (RFC 8996, RFC 9325; DICOM PS3.15 section B.12), in both roles.

`files` looks at what certificates, keys and certification authorities are in a file. It knows neither the configuration
nor DICOM.
"""

from __future__ import annotations

from karnak_core.tls.files import TlsFileError, check_authorities, check_certificate, check_key

__all__ = ["TlsFileError", "check_authorities", "check_certificate", "check_key"]
