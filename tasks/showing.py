"""Prints what a deployment is about to do, and what it saw in the end."""

from kubenorn.console import console, errors
from kubenorn.tables import (
    check_table,
    plan_summary,
    print_material,
    print_objects,
    print_plan,
    verification_tables,
)
from tasks.deployment import Deployment
from tasks.recording import Recording


def show_plan(run: Deployment, *, verbose: bool) -> None:
    """Print what would change on this machine, on the hosts and in the API."""
    print_material(console, run.material_changes, everything=verbose)
    for notice in run.notices:
        errors.print(f"Notice: {notice}", style="yellow", markup=False)
    print_plan(console, run.plans, new_files=verbose)
    print_objects(console, run.objects)
    console.print(plan_summary(run.plans, run.objects), style="bold")


def show_outcome(recording: Recording, *, verbose: bool) -> None:
    """Print what was seen on the hosts, and how the API answered meanwhile."""
    for verification in recording.verifications:
        console.print(verification_tables(verification))
        if verbose:
            console.print(check_table(verification))
    for cluster, measured in recording.availability.items():
        console.print(f"{cluster}: {measured}")
