"""A look at every master of a cluster, selected or not."""

from kubenorn.cluster import Cluster
from kubenorn.evidence import Evidence
from kubenorn.rollout import is_running
from tasks.deployment import Deployment
from tasks.fleet_run import run_on_hosts
from tasks.session import Session
from tasks.verify_host import verify_host


def look(session: Session, cluster: Cluster) -> dict[str, Evidence]:
    """Return what every master of the cluster says, selected or not; one that cannot be reached is left out."""
    masters = [master.name for master in cluster.masters]
    found = run_on_hosts(session.everyone, verify_host, masters, fleet=session.fleet, speakers=frozenset())
    return found.results


def in_use(run: Deployment, cluster: Cluster) -> bool:
    """Return whether a kube-apiserver of the cluster runs, on a host that `run` selected or on another."""
    mine = run.selected(cluster)
    if is_running({host: run.observed[host] for host in mine}):
        return True
    return len(mine) < len(cluster.masters) and is_running(look(run.session, cluster))
