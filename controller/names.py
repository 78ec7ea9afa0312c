"""All names of this controller in the cluster, each defined once, here. Pure."""

GROUP = "ocr.np-dms.work"
VERSIONS = ("v1beta1", "v1alpha1")
"""Versions of the OcrProfile, the preferred one first. All have one schema, so any of them that is served will do."""
API_VERSION = f"{GROUP}/{VERSIONS[0]}"
KIND = "OcrProfile"
PLURAL = "ocrprofiles"

CONFIG_MAP = "ocr-profiles"
KEY_SUFFIX = ".json"

CONTROLLER_MANAGER = "ocr-controller"
"""Field manager of the ConfigMap, of the status and of the pods' annotation."""
MIRROR_MANAGER = "ocr-mirror"
"""Field manager of the resources that the mirror applies, and the value of their label below."""

MANAGED_BY = "app.kubernetes.io/managed-by"
SIDECAR_SELECTOR = "app.kubernetes.io/name=ocr-sidecar"

LEASE = "ocr-controller"
"""Name of the Lease by which several controllers agree on one."""

HASH_ANNOTATION = f"{GROUP}/profiles-hash"
"""On sidecar pods and on the ConfigMap: the hash of what is published. A change makes the kubelet refresh the files."""

OCR_MODEL = "np-dms-ocr"
"""The only canonical model whose profiles reach the sidecars."""


def key_of(profile: str) -> str:
    """Return the ConfigMap key, which is also the file name, of a profile."""
    return profile + KEY_SUFFIX
