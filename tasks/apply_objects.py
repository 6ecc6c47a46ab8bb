"""Task: bring the project's API objects in place, through one master of each cluster."""

import json
from collections.abc import Mapping, Sequence

from nornir.core.task import Result, Task

from kubenorn.cluster import Cluster, Fleet
from kubenorn.errors import HostsWrongError
from kubenorn.layout import ADMIN_KUBECONFIG, Layout
from kubenorn.objects import ApiObject
from kubenorn.payload import RECEIVE, Payload
from tasks.exec_channel import expect_success, run_command
from tasks.rendering import renderer

READY_SECONDS = 120


def apply_objects(task: Task, fleet: Fleet, objects: Mapping[str, Sequence[ApiObject]]) -> Result:
    """Make the objects of the host's cluster exist as given. Raises HostsWrongError with what kubectl said."""
    cluster = fleet.cluster_of(task.host.name)
    payload = _payload(task, cluster, objects[cluster.name])
    completed = run_command(task, RECEIVE, feed=payload.write, timeout=READY_SECONDS * 2)
    for line in completed.stdout.splitlines():
        if line.startswith("failed\t"):
            raise HostsWrongError(line.partition("\t")[2])
    expect_success(completed, "kubectl")
    return Result(host=task.host, changed=True)


def _payload(task: Task, cluster: Cluster, objects: Sequence[ApiObject]) -> Payload:
    bindings = [each.manifest for each in objects if each.kind == "ClusterRoleBinding"]
    files = {"bindings.json": json.dumps({"apiVersion": "v1", "kind": "List", "items": bindings}).encode()}
    secret = next((each for each in objects if each.kind == "Secret"), None)
    if secret:
        files["secret.json"] = json.dumps(secret.manifest).encode()
    variables: Mapping[str, object] = {
        "kubectl": Layout(cluster).binary("kubectl"),
        "admin_kubeconfig": ADMIN_KUBECONFIG,
        "apiserver_url": f"https://127.0.0.1:{cluster.settings.apiserver_port}",
        "readiness_path": cluster.settings.kubernetes_version.readiness_path,
        "deadline_seconds": READY_SECONDS,
        "secret": secret.name if secret else None,
    }
    return Payload(renderer(task)("objects.sh.j2", variables), files, {})
