#!/bin/sh
# Install the programs that the tests talk to, where that is possible: DCMTK, Orthanc with DICOMweb, PostgreSQL; those
# that check what the gateway makes: gdcm, OpenJPEG, dicom3tools; and Chromium, which the web console is looked at with.
set -eu
have() { command -v "$1" >/dev/null 2>&1; }
missing=""
have dcmsend || missing="$missing dcmtk"
have Orthanc || missing="$missing orthanc"
ls /usr/share/orthanc/plugins/libOrthancDicomWeb.so* >/dev/null 2>&1 || missing="$missing orthanc-dicomweb"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
have dciodvfy || missing="$missing dicom3tools"
have gdcmconv || missing="$missing libgdcm-tools"
have opj_decompress || missing="$missing libopenjp2-tools"
have chromium || missing="$missing chromium"
[ -n "$missing" ] || exit 0
if ! have apt-get || [ "$(id -u)" != 0 ]; then
    echo "not installed:$missing; tests that need them are skipped" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $missing >/dev/null
