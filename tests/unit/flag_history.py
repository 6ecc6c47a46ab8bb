"""When kube-* flags came and went, from the CHANGELOGs: written apart from the code's table, to check it."""

API, MANAGER, SCHEDULER = "kube-apiserver", "kube-controller-manager", "kube-scheduler"
ALL_MINORS = [f"1.{minor}.0" for minor in range(8, 35)]

# component, flag, first release that no longer takes it
REMOVED: list[tuple[str, str, tuple[int, int]]] = [
    (API, "experimental-bootstrap-token-auth", (1, 9)),
    (API, "experimental-encryption-provider-config", (1, 24)),
    (API, "insecure-port", (1, 24)),
    (API, "insecure-bind-address", (1, 24)),
    (API, "kubelet-https", (1, 22)),
    (API, "enable-swagger-ui", (1, 24)),
    (MANAGER, "insecure-experimental-approve-all-kubelet-csrs-for-group", (1, 13)),
    (MANAGER, "horizontal-pod-autoscaler-use-rest-clients", (1, 22)),
    (MANAGER, "experimental-cluster-signing-duration", (1, 25)),
    *[(component, flag, (1, 24)) for component in (MANAGER, SCHEDULER) for flag in ("address", "port")],
    *[
        (component, flag, (1, 26))
        for component in (API, MANAGER, SCHEDULER)
        for flag in ("logtostderr", "alsologtostderr", "log-dir")
    ],
]
# component, flag, first release that takes it
ADDED: list[tuple[str, str, tuple[int, int]]] = [
    (API, "enable-bootstrap-token-auth", (1, 9)),
    (API, "endpoint-reconciler-type", (1, 9)),
    (API, "enable-admission-plugins", (1, 10)),
    (API, "service-account-issuer", (1, 10)),
    (API, "service-account-signing-key-file", (1, 10)),
    (API, "encryption-provider-config", (1, 13)),
    (API, "authentication-config", (1, 29)),
    (MANAGER, "bind-address", (1, 10)),
    (MANAGER, "secure-port", (1, 10)),
    (MANAGER, "authentication-kubeconfig", (1, 12)),
    (MANAGER, "authorization-kubeconfig", (1, 12)),
    (MANAGER, "cluster-signing-duration", (1, 19)),
    *[
        (SCHEDULER, flag, (1, 13))
        for flag in ("bind-address", "secure-port", "authentication-kubeconfig", "authorization-kubeconfig")
    ],
]
# component, flag, first release in which it is only a warning, and what stands for it
DEPRECATED: list[tuple[str, str, tuple[int, int]]] = [
    (API, "admission-control", (1, 10)),
    (API, "experimental-encryption-provider-config", (1, 13)),
    (MANAGER, "experimental-cluster-signing-duration", (1, 19)),
]
