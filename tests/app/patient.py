"""HTTP requests that wait for a machine that is busy with other things."""

from __future__ import annotations

from functools import partial

import httpx

PATIENCE_S = 300.0

get = partial(httpx.get, timeout=PATIENCE_S)
post = partial(httpx.post, timeout=PATIENCE_S)
request = partial(httpx.request, timeout=PATIENCE_S)
