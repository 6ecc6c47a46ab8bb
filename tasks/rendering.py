"""Templates through nornir-jinja2, in the project's one environment."""

import logging
from collections.abc import Mapping

from nornir.core.task import Task
from nornir_jinja2.plugins.tasks import template_file

from kubenorn.render import Render, environment


def renderer(task: Task) -> Render:
    """Return what renders a template for the task's host."""

    def render(name: str, variables: Mapping[str, object]) -> str:
        result = task.run(
            template_file,
            name=name,
            severity_level=logging.DEBUG,
            template=name,
            jinja_env=environment(),
            **variables,
        )
        text = str(result.result)
        # Nornir keeps every result and can print it; a rendered file may hold a password.
        result[0].result = f"{len(text)} characters"
        return text

    return render
