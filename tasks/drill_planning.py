"""What a drill refuses before it looks at any host: what makes no sense, or cannot be done here."""

from collections.abc import Sequence

from kubenorn.cluster import Cluster
from kubenorn.drill.scenarios import TRAITS, Scenario
from kubenorn.errors import InputWrongError
from tasks.session import Session
from tasks.vantage import jumping_over, standing_on

QUORUM_MEMBERS = 3
"""With fewer etcd members none can be spared."""


def the_cluster(session: Session) -> Cluster:
    """Return the cluster of the selected hosts.

    Raises InputWrongError for several clusters, and for one host alone.
    """
    if len(session.clusters) != 1:
        names = ", ".join(cluster.name for cluster in session.clusters)
        raise InputWrongError(f"--filter: selects hosts of several clusters ({names}); drill one at a time.")
    if len(session.hosts) < 2:
        raise InputWrongError(
            f"--filter: leaves {session.hosts[0]} alone, and nobody could take over from it; "
            "select at least two masters."
        )
    return session.clusters[0]


def refuse_walk(session: Session, cluster: Cluster, walk: Sequence[str], cycles: int | None) -> None:
    """Raise InputWrongError when the VIP cannot be walked around these hosts in so many cycles."""
    for host in walk:
        if host not in session.hosts:
            raise InputWrongError(f"--hosts {host}: is none of the selected hosts.")
    if walk and len(session.hosts) < len(cluster.masters):
        raise InputWrongError(
            "--hosts: keepalived rests on every other master while the VIP moves; select them all with --filter."
        )
    if walk and cluster.settings.vrrp.preempt:
        raise InputWrongError(
            "--hosts: with vrrp.preempt the VIP goes back to the highest priority by itself; leave --hosts out."
        )
    if cycles and cycles < len(walk):
        raise InputWrongError(
            f"--cycles {cycles}: is less than the {len(walk)} hosts of --hosts; leave --cycles out for one each."
        )


def no_member_to_spare(cluster: Cluster) -> bool:
    """Return whether etcd is on the masters and stops when one of them does."""
    return cluster.settings.etcd.mode == "managed" and len(cluster.masters) < QUORUM_MEMBERS


def impossible(session: Session, cluster: Cluster, scenario: Scenario) -> str:
    """Return why a scenario cannot be drilled on the selected hosts, empty when it can."""
    hooks = TRAITS[scenario].hooks
    missing = [hook.value for hook in hooks or () if hook not in session.hooks.commands]
    if missing:
        return (
            f"no host can do that to itself, and there is no hook {' or '.join(missing)} "
            "in user_defined.hooks of the configuration."
        )
    if scenario is Scenario.ETCD_MEMBER_STOP and cluster.settings.etcd.mode != "managed":
        return "etcd is not on these hosts."
    if no_member_to_spare(cluster) and (scenario is Scenario.ETCD_MEMBER_STOP or hooks):
        return f"of {len(cluster.masters)} etcd members none can be spared."
    return _blinding(session, cluster) if TRAITS[scenario].isolates else ""


def _blinding(session: Session, cluster: Cluster) -> str:
    """Return why the drill would see nothing any more once a host is cut off; empty when it would."""
    if own := standing_on(cluster, session.hosts):
        return f"this machine is {own}, which it would take away; run the drill on another machine."
    if jump := jumping_over(session, cluster, session.hosts):
        return (
            f"{jump} is the jump host on the way to the others, and it would take it away; name another one in "
            f"data.ssh.jump_host, or leave {jump} out with --filter."
        )
    return ""
