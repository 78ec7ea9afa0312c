"""Values with which tests render the chart: each feature at least once, and the shipped values files."""

from typing import Any

from tools.charts.rendering import Values, merge, values_file

PEER: dict[str, Any] = {"podSelector": {"matchLabels": {"app": "somebody"}}}
ELSEWHERE = {"url": "http://ollama.llm.svc:11434"}
CA = {"name": "our-ca", "configMap": {"name": "our-ca"}}
CA_MOUNT = {"name": "our-ca", "mountPath": "/etc/our-ca", "readOnly": True}
DIGEST = "sha256:" + "0123456789abcdef" * 4
NATS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "nats"}}}
TO_TRACES = {"to": [PEER], "ports": [{"protocol": "TCP", "port": 4317}]}

CASES: dict[str, Values] = {
    "default": {},
    "k3d": values_file("k3d"),
    "gpu": values_file("gpu"),
    "api-key": values_file("api-key"),
    "ollama elsewhere": {"ollama": ELSEWHERE, "networkPolicy": {"ollama": {"to": [PEER], "port": 1234}}},
    "ollama at an address": {"ollama": {"url": "https://10.1.2.3"}},
    "ollama at an IPv6 address": {"ollama": {"url": "http://[fd00::7]:11434"}},
    "model servers elsewhere": {
        "modelServer": {
            "urls": ["http://vllm-0.llm.svc:8000/v1", "http://vllm-1.llm.svc:8000/v1"],
            "kind": "vllm",
            "existingSecret": "vllm-key",
        },
        "networkPolicy": {"modelServer": {"to": [PEER]}},
    },
    "model servers at addresses": {"modelServer": {"urls": ["https://10.1.2.3/v1", "http://[fd00::7]:8080/v1"]}},
    "ollama fills itself": merge(
        values_file("gpu"),
        {
            "ollama": {"inPod": {"pull": ["qwen3-vl:8b"], "modelfile": "FROM qwen3-vl:8b\n", "settings": {"A": 1}}},
            "modelLoader": {"extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]},
        },
    ),
    "volumes of one's own": merge(
        values_file("gpu"),
        {
            "ollama": {"inPod": {"storage": {"existingClaim": "mine"}}},
            "retrieval": {"storage": {"existingClaim": "mine-too"}},
            "modelLoader": {"enabled": False},
        },
    ),
    "the mirror": {
        "controller": {"database": {"existingSecret": "ocr-database"}},
        "networkPolicy": {"database": {"to": [PEER]}},
    },
    "the mirror, cluster-wide": {
        "controller": {"database": {"existingSecret": "ocr-database"}, "clusterWide": True},
        "networkPolicy": {"database": {"to": [PEER]}},
    },
    "scaled by an adapter": {"autoscaling": {"kind": "hpa"}, "networkPolicy": {"prometheus": [PEER]}},
    "scaled by KEDA": {
        "autoscaling": {
            "kind": "keda",
            "keda": {"serverAddress": "http://prometheus:9090", "authenticationRef": {"name": "prometheus"}},
        },
        "networkPolicy": {"prometheus": [PEER]},
        "retrieval": {"enabled": True, "storage": {"accessModes": ["ReadWriteMany"]}},
    },
    "jobs": values_file("jobs"),
    "jobs in the pod": {"jobs": {"url": "embedded", "sync": True}},
    "jobs in the pod, on a volume of one's own": {"jobs": {"url": "embedded", "storage": {"existingClaim": "mine"}}},
    "jobs with everything": {
        "jobs": {
            "url": "tls://nats-0.nats.svc:4222,tls://nats-1.nats.svc",
            "credentials": {"existingSecret": "nats-credentials"},
            "ca": {"existingSecret": "nats-ca"},
            "callbacks": {"hosts": [".example.org", "dms.example.com:8443"], "existingSecret": "callbacks"},
            "sliceSeconds": 300,
        },
        "networkPolicy": {"jobs": {"to": [NATS]}, "callbacks": {"to": [PEER]}},
    },
    "jobs and callbacks at addresses": {
        "jobs": {
            "url": "nats://10.1.2.3,nats://[fd00::7]:4223",
            "callbacks": {"hosts": ["10.9.8.7", "http://[fd00::9]"], "existingSecret": "callbacks"},
        }
    },
    "jobs beside a model elsewhere": {
        "jobs": {"url": "nats://nats.nats.svc:4222"},
        "ollama": ELSEWHERE,
        "networkPolicy": {"jobs": {"to": [NATS], "port": 14222}, "ollama": {"to": [PEER]}},
    },
    "jobs scaled by KEDA": merge(
        values_file("jobs"),
        {"autoscaling": {"kind": "keda", "keda": {"natsMonitoring": "nats-headless.nats.svc:8222"}}},
    ),
    "jobs and texts scaled by KEDA": merge(
        values_file("jobs"),
        {
            "autoscaling": {
                "kind": "keda",
                "keda": {
                    "natsMonitoring": "nats-headless.nats.svc:8222",
                    "natsMonitoringHttps": True,
                    "serverAddress": "http://prometheus:9090",
                },
            },
            "networkPolicy": {"prometheus": [PEER]},
            "retrieval": {"enabled": True, "storage": {"accessModes": ["ReadWriteMany"]}},
        },
    ),
    "jobs scaled by an adapter": merge(
        values_file("jobs"), {"autoscaling": {"kind": "hpa"}, "networkPolicy": {"prometheus": [PEER]}}
    ),
    "jobs watched": merge(
        values_file("jobs"),
        {"networkPolicy": {"prometheus": [PEER]}, "metrics": {"prometheusRule": {"enabled": True}}},
    ),
    "watched": {
        "networkPolicy": {"prometheus": [PEER]},
        "metrics": {name: {"enabled": True} for name in ("serviceMonitor", "prometheusRule", "dashboard")},
    },
    "a GPU asked for twice": {"gpu": {"enabled": True, "sidecar": "request"}},
    "a GPU for Ollama alone": {"gpu": {"enabled": True, "sidecar": "none"}, "ollama": {"inPod": {"enabled": True}}},
    "a GPU of a claim": merge(
        values_file("gpu"),
        {
            "gpu": {
                "sidecar": "claim",
                "perNode": 4,
                "claim": {
                    "deviceClassName": "gpu.nvidia.com",
                    "selectors": [{"cel": {"expression": 'device.attributes["gpu.nvidia.com"].type == "gpu"'}}],
                },
            },
        },
    ),
    "a GPU each by the device plugin": {
        "gpu": {"enabled": True, "sidecar": "request", "perNode": 4},
        "sidecar": {"replicas": 4},
        "retrieval": {"enabled": True, "storage": {"accessModes": ["ReadWriteMany"]}},
    },
    "models on a volume": {"retrieval": {"enabled": True}},
    "models on a volume for all": {"retrieval": {"enabled": True, "storage": {"accessModes": ["ReadWriteMany"]}}},
    "replaced as said": {
        "gpu": {"enabled": True},
        "sidecar": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 2}}},
    },
    "Cilium": {"networkPolicy": {"apiServer": {"cilium": True}}},
    "callers elsewhere": {
        "networkPolicy": {"callers": [PEER | {"namespaceSelector": {}}]},
        "tests": {"caller": False},
        "listenAddress": "::",
    },
    "two controllers": {"controller": {"replicas": 2, "leaseSeconds": 10}},
    "two controllers, cluster-wide": {"controller": {"replicas": 2, "clusterWide": True}},
    "no controller": {"controller": {"enabled": False}},
    "no policy of ours": {"networkPolicy": {"enabled": False, "external": True}},
    "nobody may": {
        "networkPolicy": {
            "callers": [],
            "dns": {"to": []},
            "apiServer": {"to": []},
            "modelLoader": {"to": []},
        },
        "retrieval": {"enabled": True},
    },
    "OpenShift": {
        "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None},
        "networkPolicy": {
            "dns": {
                "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}}}],
                "port": 5353,
            }
        },
    },
    "a CA of one's own": merge(
        values_file("gpu"),
        {
            "modelLoader": {"extraVolumes": [CA], "extraVolumeMounts": [CA_MOUNT]},
            "ollama": {"inPod": {"pull": ["qwen3-vl:8b"]}},
            "sidecar": {
                "extraVolumes": [CA],
                "extraVolumeMounts": [CA_MOUNT],
                "extraEnv": [{"name": "SSL_CERT_FILE", "value": "/etc/our-ca/ca.crt"}],
            },
            "controller": {"extraVolumes": [CA], "extraVolumeMounts": [CA_MOUNT]},
        },
    ),
    "air-gapped": merge(
        values_file("gpu"),
        {
            "sidecar": {"image": {"repository": "registry.example/ocr-sidecar", "digest": DIGEST}},
            "controller": {"image": {"repository": "registry.example/ocr-controller", "digest": DIGEST}},
            "ollama": {
                "inPod": {
                    "image": {"repository": "registry.example/ollama", "digest": DIGEST},
                    "storage": {"existingClaim": "filled"},
                }
            },
            "modelLoader": {"enabled": False},
            "retrieval": {"storage": {"existingClaim": "filled-too"}, "embedModel": "/models/bge-m3"},
        },
    ),
    "two families": {"service": {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"]}},
    "IPv6 only": {"listenAddress": "::", "service": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]}},
    "from outside": merge(
        values_file("api-key"),
        {
            "service": {"type": "LoadBalancer"},
            "ingress": {
                "enabled": True,
                "className": "nginx",
                "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "50m"},
                "hosts": ["ocr.example.org"],
                "tls": [{"hosts": ["ocr.example.org"], "secretName": "ocr-tls"}],
            },
            "httpRoute": {
                "enabled": True,
                "annotations": {"note": "one"},
                "parentRefs": [{"name": "gateway", "namespace": "gateways"}],
                "hostnames": ["ocr.example.org"],
            },
        },
    ),
    "accounts of one's own": {
        "sidecar": {"serviceAccount": {"create": False, "name": "reader"}},
        "controller": {"serviceAccount": {"name": "governor", "annotations": {"iam.example.org/role": "ocr"}}},
    },
    "nothing of the whole cluster": {
        "aggregatedRoles": {"enabled": False},
        "controller": {"admissionPolicy": {"enabled": False}},
    },
    "further ways out": {"networkPolicy": {"sidecarEgress": [TO_TRACES], "controllerEgress": [TO_TRACES]}},
    "objects of one's own": {
        "extraObjects": [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "mine", "namespace": "ocr"},
                "data": {"a": "b"},
            }
        ]
    },
    "everything said": {
        "fullnameOverride": "reader",
        "networkPolicy": {"prometheus": [PEER]},
        "metrics": {
            "serviceMonitor": {
                "enabled": True,
                "relabelings": [{"targetLabel": "cluster", "replacement": "one"}],
                "metricRelabelings": [{"action": "labeldrop", "regex": "le"}],
            },
            "prometheusRule": {"enabled": True},
            "dashboard": {"enabled": True},
        },
        "commonLabels": {"team": "documents"},
        "commonAnnotations": {"contact": "documents@example.org"},
        "imagePullSecrets": [{"name": "registry"}],
        "service": {"annotations": {"one": "two"}},
        "sidecar": {
            "replicas": 3,
            "workers": 2,
            "stateClaim": "what-was-learned",
            "settings": {"OCR_DPI": 200, "OCR_MAX_DOCUMENT_BYTES": 104857600, "OCR_PRESSURE_WAIT_SECONDS": 0.5},
            "extraEnv": [{"name": "TZ", "valueFrom": {"configMapKeyRef": {"name": "zone", "key": "tz"}}}],
            "uploads": {"existingClaim": "uploads", "mountPath": "/mnt/documents", "supplementalGroups": [3000]},
            "podLabels": {"tier": "readers"},
            "podAnnotations": {"note": "one"},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
            ],
            "priorityClassName": "high",
            "minReadySeconds": 5,
            "progressDeadlineSeconds": 900,
        },
        "controller": {
            "fullnameOverride": "governor",
            "settings": {"CONTROLLER_RESYNC_SECONDS": 60},
            "podLabels": {"tier": "control"},
            "podAnnotations": {"note": "two"},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
            "priorityClassName": "high",
        },
    },
}
