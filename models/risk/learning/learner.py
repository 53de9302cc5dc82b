"""The learner: everything the trainer and the back-test feed with transfers and labels.

No clock, no I/O; deterministic for a seed and the order of calls. Labels are
tested before they are learned: each labelled transfer is scored by the present
members first, and those scores alone teach the blend and watch for drift.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.risk.calibration import blend_logits, fit_blend, prior_weights, sigmoid
from models.risk.columns import RULE_RISK
from models.risk.drift import ErrorDrift, InputDrift
from models.risk.features import FEATURE_INDEX, FEATURE_NAMES, FEATURE_SET
from models.risk.learning.boosting import DEFAULT_BOOSTING, BoostingSettings, grow
from models.risk.learning.checkpoint import CheckpointError, Plain, decode_plain, encode_plain
from models.risk.learning.history import NO_KEY, History, Keys, latest
from models.risk.learning.novelty import NoveltyLearner
from models.risk.learning.online import OnlineLinear
from models.risk.learning.trials import ForestTrials, MemberTrials
from models.risk.panel import PANEL, TrainedPanel, panel_from_state
from models.risk.snapshot import ForestState, PanelState, Snapshot, decode_state, encode_state

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

DAY_US: Final = 86_400_000_000

CLOCKS: Final = tuple(
    FEATURE_INDEX[name] for name in ("payer_age", "payer_seen", "payee_age", "payee_seen", "pair_age")
)
"""Features that grow by themselves as long as a stream lasts; no drift."""

CHECKPOINT_FORMAT: Final = 5
FIT_COUNTERS: Final = ("_refits", "_fit_frauds", "_fit_us", "_fit_observed", "_fit_taken_back")
"""How many fits have begun, and where the other numbers stood at the last one."""

COUNTERS: Final = ("_frauds", "_honest", "_taken_back", "_observed", "_trial_credit", *FIT_COUNTERS)
"""Plain numbers of a learner that its checkpoint holds."""


class LearnerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When and how much to learn (all ours)."""

    boosting: BoostingSettings = DEFAULT_BOOSTING
    first_forest_frauds: int = 20
    """No trees before this many confirmed frauds."""
    growth: float = 1.5
    """Refit when the confirmed frauds have grown by this factor,"""
    longest_gap_us: int = 14 * DAY_US
    """or when this much time has passed and there are new ones,"""
    shortest_gap_rows: int = 4_096
    """but never before so many further transfers."""
    max_frauds: int = 20_000
    max_honest: int = 20_000
    trial_honest: float = 0.125
    """Share of honest labels that is scored to teach the blend."""
    use_novelty: bool = True
    use_linear: bool = True
    use_forest: bool = True


DEFAULT_LEARNING: Final = LearnerSettings()


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator wants to know of the learner."""

    alarms: dict[str, bool]
    shifted_features: tuple[str, ...]
    fallbacks: int
    refits: int
    learned: dict[str, int]
    blend: dict[str, float]


class RefitJob(msgspec.Struct, frozen=True, kw_only=True):
    """One fit of the trees as pure data; `run` may happen in a thread or a process."""

    rows: Floats
    fraud: Bools
    weights: Floats
    seed: int
    settings: BoostingSettings

    def run(self) -> ForestState:
        """Return the fitted trees."""
        return grow(self.rows, self.fraud, self.weights, seed=self.seed, settings=self.settings)


class Learner:
    """Learns from every transfer without labels, and from every label at once and again on a schedule.

    ``trials`` judges new trees for a learner on its own; without it only its owner
    takes trees out again (`fall_back`), as the contest of panels in the trainer does.
    """

    def __init__(
        self, *, seed: int, settings: LearnerSettings = DEFAULT_LEARNING, trials: ForestTrials | None = None
    ) -> None:
        width = len(FEATURE_NAMES)
        self._seed, self._settings = seed, settings
        self._novelty = NoveltyLearner(seed=seed)
        self._linear = OnlineLinear(width)
        self._history = History(width, seed=seed, frauds=settings.max_frauds, honest=settings.max_honest)
        self._trials = MemberTrials()
        self._forest: ForestState | None = None
        self._forest_trials, self._fallbacks = trials, 0
        self._inputs, self._errors = InputDrift(width, clocks=CLOCKS), ErrorDrift()
        self._panel: TrainedPanel | None = None
        self._frauds = self._honest = self._taken_back = self._observed = self._refits = 0
        self._blend = fit_blend(*self._trials.recent(), prior=self._prior())
        self._trial_credit = 0.0
        self._fit_frauds, self._fit_us, self._fit_observed, self._fit_taken_back = 0, 0, 0, 0
        self._before_fit: dict[str, float] = {}
        """While a fit runs, what `FIT_COUNTERS` were before it."""

    def observe(self, rows: Floats, *, at_us: int) -> None:
        """Learn from assessed transfers without their labels (n x features); ``at_us`` of the latest."""
        if not len(rows):
            return
        self._observed += len(rows)
        self._fit_us = self._fit_us or at_us
        self._linear.observe(rows)
        self._inputs.observe(rows)
        if self._settings.use_novelty:
            self._novelty.observe(rows)
        self._panel = None

    def learn(self, rows: Floats, fraud: Bools, weights: Floats, keys: Keys | None = None) -> None:
        """Learn from labelled transfers, with the features as they were when scored.

        ``weights`` (n) are one over the chance that such a transfer gets a label:
        1 for a report or a looked-at alert, ``1 / rate`` for a random sample.
        ``keys`` (n) name the transfers: a later label of one takes the place of the
        earlier in the history that trees are fitted to. The linear member and the
        blend learn the later on top: what they have learned online stays in them.
        """
        if not len(rows):
            return
        if keys is None:
            keys = np.full(len(rows), NO_KEY, np.int64)
        else:
            last = latest(keys)
            rows, fraud, weights, keys = rows[last], fraud[last], weights[last], keys[last]
            self.take_back(keys)
        self._test_first(rows, fraud, weights)
        self._history.add(rows, fraud, weights, keys)
        self._linear.learn(rows, fraud, weights)
        found = int(fraud.sum())
        self._frauds += found
        self._honest += len(rows) - found
        self._panel = None

    def take_back(self, keys: Keys) -> None:
        """Forget in the history what was said of these transfers, for the next fit of the trees."""
        frauds, honest = self._history.take_back(keys)
        self._frauds -= frauds
        self._honest -= honest
        self._taken_back += frauds

    def due(self, now_us: int) -> bool:
        """Return whether a refit of the trees is worth it now: there are new frauds, or fewer than there were."""
        settings = self._settings
        new = self._frauds > self._fit_frauds or self._taken_back > self._fit_taken_back
        if not settings.use_forest or self._frauds < settings.first_forest_frauds or not len(self._history.honest):
            return False
        if self._refits and self._observed - self._fit_observed < settings.shortest_gap_rows:
            return False
        grown = self._frauds >= self._fit_frauds * settings.growth
        return new and (grown or now_us - self._fit_us >= settings.longest_gap_us)

    def refit_job(self, now_us: int) -> RefitJob:
        """Return the next fit and take it as begun; adopt its result.

        A checkpoint made before that knows nothing of the fit, which dies with its process.
        """
        self._before_fit = self._before_fit or self._numbers(FIT_COUNTERS)
        self._fit_frauds, self._fit_us, self._fit_observed = self._frauds, now_us, self._observed
        self._fit_taken_back = self._taken_back
        self._refits += 1
        rows, fraud, weights = self._history.training_set()
        return RefitJob(
            rows=rows, fraud=fraud, weights=weights, seed=self._seed + self._refits, settings=self._settings.boosting
        )

    def adopt(self, forest: ForestState) -> None:
        """Put fitted trees into service; the inputs they meet are from now on compared with those of today."""
        if self._forest_trials is not None:
            self._forest_trials.begin(self._forest)
        self._forest, self._before_fit = forest, {}
        self._inputs.hold_reference()
        self._refresh_blend()

    def fall_back(self, forest: ForestState | None) -> None:
        """Put earlier trees back into service, or none, because the present ones lost on live traffic."""
        self._forest, self._fallbacks = forest, self._fallbacks + 1
        self._refresh_blend()

    def accept_inputs(self) -> None:
        """Take the inputs of today for normal, because somebody knows why they have changed."""
        self._inputs.take_reference()

    def refit(self, now_us: int) -> None:
        """Fit the trees anew and put them into service."""
        self.adopt(self.refit_job(now_us).run())

    def state(self) -> PanelState:
        """Return the present state of the whole panel."""
        linear = self._linear.freeze() if self._settings.use_linear else None
        return PanelState(
            feature_set=FEATURE_SET,
            width=len(FEATURE_NAMES),
            novelty=self._novelty.freeze(),
            linear=linear,
            forest=self._forest,
            blend=self._blend,
            usual=self._linear.usual() if linear is None else None,
        )

    def panel(self) -> TrainedPanel:
        """Return the panel of the present state."""
        if self._panel is None:
            self._panel = panel_from_state(self.state())
        return self._panel

    def snapshots(self) -> list[Snapshot]:
        """Return what to publish: one atomic snapshot of the whole panel."""
        panel = self.panel()
        payload = encode_state(panel.state)
        return [Snapshot(detector=PANEL, version=panel.version, feature_set=FEATURE_SET, payload=payload)]

    def state_bytes(self) -> bytes:
        """Return everything needed to go on from here (up to some 60 MB, mostly the labelled history).

        Only the alarm on errors begins anew.
        """
        state: Plain = {
            "format": CHECKPOINT_FORMAT,
            "feature_set": FEATURE_SET,
            "seed": self._seed,
            "settings": msgspec.msgpack.encode(self._settings),
            "counters": self._numbers(COUNTERS) | self._before_fit,
            "panel": encode_state(self.state()),
            "novelty": self._novelty.dump(),
            "linear": self._linear.dump(),
            "frauds": self._history.frauds.dump(),
            "honest": self._history.honest.dump(),
            "trials": self._trials.dump(),
            "inputs": self._inputs.dump(),
            "fallbacks": self._fallbacks,
        }
        return encode_plain(state)

    @classmethod
    def restore(cls, raw: bytes) -> Learner:
        """Return the learner of `state_bytes`; raise `CheckpointError` for bytes of another feature set or format.

        It has no trials of its own.
        """
        state = decode_plain(raw)
        found, wanted = (state.get("format"), state.get("feature_set")), (CHECKPOINT_FORMAT, FEATURE_SET)
        if found != wanted:
            raise CheckpointError(f"state of format and feature set {found}, not {wanted}")
        settings = msgspec.msgpack.decode(state["settings"], type=LearnerSettings)
        learner = cls(seed=state["seed"], settings=settings)
        panel = decode_state(state["panel"])
        learner._novelty.load(state["novelty"], panel.novelty)
        learner._linear.load(state["linear"])
        learner._history.frauds.load(state["frauds"])
        learner._history.honest.load(state["honest"])
        learner._trials.load(state["trials"])
        learner._inputs.load(state["inputs"])
        learner._forest, learner._fallbacks = panel.forest, state["fallbacks"]
        learner._blend = panel.blend
        for name, value in state["counters"].items():
            setattr(learner, name, value)
        return learner

    def health(self) -> Health:
        """Return alarms and counts."""
        weights = dict(zip(("cold", "linear", "forest"), self._blend.weights.tolist(), strict=True))
        return Health(
            alarms={"inputs": self._inputs.alarm, **self._errors.alarms},
            shifted_features=tuple(FEATURE_NAMES[column] for column in self._inputs.shifted),
            fallbacks=self._fallbacks,
            refits=self._refits,
            learned={"fraud": self._frauds, "honest": self._honest},
            blend={**weights, "intercept": self._blend.intercept},
        )

    def _numbers(self, names: Iterable[str]) -> dict[str, float]:
        return {name: getattr(self, name) for name in names}

    def _test_first(self, rows: Floats, fraud: Bools, weights: Floats) -> None:
        """Score labelled rows before anything is learned from them: all frauds, a share of the honest."""
        chosen = fraud.copy()
        for place in np.flatnonzero(~fraud):
            self._trial_credit += self._settings.trial_honest
            if self._trial_credit >= 1.0:
                self._trial_credit -= 1.0
                chosen[place] = True
        if not chosen.any():
            return
        rows, labels = rows[chosen], fraud[chosen]
        shares = weights[chosen] / np.where(labels, 1.0, self._settings.trial_honest)
        logits = TrainedPanel(self.state(), version="on trial").members(rows, rows[:, RULE_RISK]).logits
        self._trials.add(logits, labels, shares)
        self._errors.learn(sigmoid(blend_logits(logits, self._blend.weights, self._blend.intercept)), labels)
        self._judge_trees(rows, logits[:, 2], labels, shares)
        if self._trials.due():
            self._refresh_blend()

    def _judge_trees(self, rows: Floats, margins: Floats, fraud: Bools, weights: Floats) -> None:
        trials = self._forest_trials
        back = None if trials is None else trials.judge(rows, margins, fraud, weights)
        if back is not None:
            self._forest, self._fallbacks = back, self._fallbacks + 1

    def _prior(self) -> Floats:
        settings = self._settings
        return prior_weights(
            self._frauds,
            linear=settings.use_linear and self._linear.learned > 0,
            forest=self._forest is not None,
        )

    def _refresh_blend(self) -> None:
        logits, fraud, weights = self._trials.recent()
        self._blend = fit_blend(logits, fraud, weights, prior=self._prior())
        self._panel = None
