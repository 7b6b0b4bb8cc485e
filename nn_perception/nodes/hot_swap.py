"""The hot swap: a new model takes the place of the old one, or nothing changes."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import SetParametersResult

from nn_perception.errors import ConfigError, NnPerceptionError
from nn_perception.nodes.declaration import check_set
from nn_perception.nodes.inference import Inference
from nn_perception.nodes.model import MODEL_PARAMETERS, ActiveModel, build_model, verify_model

if TYPE_CHECKING:
    from nn_perception.nodes.base import PerceptionNode


class HotSwap:
    """Builds the models of one node. Its caller sees to it that one thread at a time does.

    Attributes:
        swaps: models swapped in since the start.
        refused: models refused since the start.
    """

    def __init__(self, node: PerceptionNode, inference: Inference) -> None:
        """Prepare.

        Args:
            node: its parameters name the model; its `check_model` may refuse one.
            inference: runs the model.
        """
        self.swaps = self.refused = 0
        self._as_started = True
        self._node = node
        self._inference = inference
        rebuilding = (name for name in node.settings if not node.table[name].read_only)
        self._rebuilding = MODEL_PARAMETERS.union(rebuilding)

    def build(self, changes: Mapping[str, Any] | None = None) -> ActiveModel:
        """Build, warm up and check the model that the parameters name, with changes to them.

        Raises:
            NnPerceptionError: any of this failed.
        """
        node = self._node
        # Later than at the start there may be something to protect: this node's model or, in one
        # process, those of others.
        trial, self._as_started = not self._as_started, False
        model = build_model(node.task, node.values(changes), node.settings, trial)
        node.check_model(model)
        return model

    def set(self, changes: Mapping[str, Any]) -> SetParametersResult:
        """Check new values of parameters, and swap the model where they name another one."""
        try:
            check_set(self._node, self._node.table, changes)
            if self._rebuilding & changes.keys():
                self._check_allowed(changes)
                self._change_model(changes)
        except Exception as error:
            return SetParametersResult(successful=False, reason=self._refuse(changes, error))
        return SetParametersResult(successful=True)

    def _check_allowed(self, changes: Mapping[str, Any]) -> None:
        if not self._node.value("allow_model_changes"):
            names = ", ".join(sorted(self._rebuilding & changes.keys()))
            raise ConfigError(
                f"{names} cannot be set: this node was started with allow_model_changes false, so "
                "that its model stays; start it anew with another one"
            )

    def _change_model(self, changes: Mapping[str, Any]) -> None:
        """Build the new model while the old one serves, then replace it between two messages."""
        node = self._node
        if self._inference.model is None:
            verify_model(node.task, node.values(changes))
            self._as_started = False
            return
        start = time.perf_counter()
        model = self.build(changes)
        self._inference.model = model
        self.swaps += 1
        node.announce()
        elapsed_ms = (time.perf_counter() - start) * 1e3
        node.get_logger().info(f"swapped to {model} in {elapsed_ms:.0f} ms")

    def _refuse(self, changes: Mapping[str, Any], error: Exception) -> str:
        logger, reason = self._node.get_logger(), str(error)
        if not isinstance(error, NnPerceptionError):
            reason = f"internal error, {type(error).__name__}: {error}"
            logger.error(traceback.format_exc())
        if self._rebuilding & changes.keys():
            self.refused += 1
        logger.warning(f"refused {dict(changes)}: {reason}")
        return reason
