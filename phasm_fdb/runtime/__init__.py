"""The runtime: workers that run a layer's tracked actions and feed their results back."""

from phasm_fdb.runtime.app import App
from phasm_fdb.runtime.attempt import Attempt
from phasm_fdb.runtime.handlers import Handlers
from phasm_fdb.runtime.limit import Limit
from phasm_fdb.runtime.retry import Retry
from phasm_fdb.runtime.worker import Worker

__all__ = ["App", "Attempt", "Handlers", "Limit", "Retry", "Worker"]
