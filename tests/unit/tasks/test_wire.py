"""Closing a channel while data comes."""

import os
from typing import Any

import paramiko
import pytest

from tasks.wire import close_channel


def closed_while_data_comes(monkeypatch: pytest.MonkeyPatch) -> paramiko.Channel:
    """Return a channel that hears something in the midst of closing the pipe behind its fileno()."""
    channel = paramiko.Channel(7)
    channel.fileno()
    pipe: Any = vars(channel)["_pipe"]

    def close() -> None:
        os.close(pipe._rfd)
        try:
            channel.in_buffer.feed(b"late")
        finally:
            os.close(pipe._wfd)
            pipe._closed = True

    monkeypatch.setattr(pipe, "close", close)
    return channel


def test_what_comes_while_a_channel_is_closed_ends_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    close_channel(closed_while_data_comes(monkeypatch))


def test_paramikos_own_way_still_needs_that(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = closed_while_data_comes(monkeypatch)
    with pytest.raises(BrokenPipeError):
        channel.close()
    vars(channel)["_pipe"] = None  # it is closed: not once more when the channel is forgotten
