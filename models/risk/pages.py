"""The pages `docs/rules.md` and `docs/features.md`, written from the code so that they cannot drift.

Written anew by ``python -c "from models.risk.pages import *; print(rules_page(), end='')" > docs/rules.md``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any, get_type_hints

import msgspec

from models.risk.assessment import Severity
from models.risk.columns import CREDIT_COLUMNS, DEBIT_COLUMNS, FEATURE_SET, SCALES, Feature
from models.risk.facts import FACTS
from models.risk.peers import PEERS_KEPT
from models.risk.profile import BATCH_IDS_KEPT, IDS_KEPT, LATE_TOLERANCE_S, MAX_PROFILE_BYTES
from models.risk.recent import RECENT_KEPT
from models.risk.rules.book import EDITION, RULES, Rule
from models.risk.rules.settings import DEFAULT_RULES
from models.risk.rules.texts import LISTED, SEVERITY_MEANINGS, SEVERITY_NAMES, TEXTS, UNRULED
from models.risk.thresholds import amount_worth_a_stop
from models.risk.windows import WINDOWS

_RULES_HEAD = """# The rule book

Each rule is a small pure function over the facts of a transfer (`models/risk/rules/`). It returns the log-odds it
adds, at most its weight; the risk is the logistic of {base} and their sum, so it only grows with each ground. From
{watch} on a transfer is watched (once the trainer has seen enough, from the risk on that the alert budget allows), from
{stop} on it is in the stop band (a sum below {small} yuan only from a risk at which a stop costs less than it saves;
`models/risk/thresholds.py`). Edition {edition}. Weights, severities and thresholds are settings: [the file](#the-file).

**Ours** means: no regulator gives a number (`docs/sources.md#how-frauds-look`), the default is our choice. All weights
and severities are ours. Weights were chosen on simulated towns, so that honest life stays below a stop, and then
rounded; the open set and labels of a live system play no part in them.

Many rules scale their weight: by size (0.3 for 100 yuan, 1 from 10,000 on), by how new the pair is (1, 0.7 on its
first day, 0.35 later), by the number of payers the account has had (1 up to 8, 0.3 from 80 on: a shop), and by whether
a stranger's money came in today (0.5 if not; 0.7 if without any suspicion, up to 1 with it).

Suspicion follows the money: a payee's profile keeps the suspected share of what it received (half-life 12 h), and M05
and M18 read it. So the second hop is weighed with what the first one showed, without a graph on the critical path.

**What a stop may rest on.** A high risk alone stops nobody (`docs/decisions/0011`): C01 and C02 do, which weigh some
thirty facts of both accounts together, also those that speak for innocence (old acquaintances, many payers, money that
goes back, money of its own). C01 puts the stop on the payee's account. Who takes payments from everybody, or had twice
today's income on its account before (a dealer, a private seller), is never convicted by being paid; if the payer's own
part of the card convicts the payer, C02 stops that, for what came in there within 24 hours. The card was fitted on 14
simulated worlds (seeds 3-16), its terms of own money and of a late opening on 99 (seeds 3-30 and 201-271), its
thresholds of today on seeds 601-680.

**Severity** says how grave a ground is if it is true, and so what a person reads first: `sluice explain` and the words
sent to a bank name the gravest ground first, and among equals the heaviest. It moves no risk and no band; that is what
the weight does, which says how much a ground proves. Fan-in (M06) weighs much and is mostly a shop; a payer in a call
(V02) weighs little, and if it is the crook there are minutes left. A reason carries the severity of the rule book that
made it, and the API lists reasons by weight; those from before there were severities carry none.

| severity | says |
|---|---|
{severities}
In the first days of a new installation every account and pair is new, and novelty says little: post a history first,
or let the brake hold Sluice to advice.

"""

_RULES_TABLE = """| code | section | severity | weight | thresholds | what, and source | words (evidence in braces) |
|---|---|---|---|---|---|---|
"""

_OWN_COLUMNS = ("weight", "severity")
_SOURCE = re.compile(r"`docs/(sources\.md#([\w-]+))`")

_LISTS_HEAD = """
## Lists

Black stops at once, whatever the score, and beats white; white beats any score; grey adds {grey} of log-odds.

| code | severity | words |
|---|---|---|
"""

_CODES_TAIL = """
`9999` (the platform's "other", free text; {panel}) names what the detectors add to the rules. 3001 and 3003 are
reports by people and banks, and 1001, 1002, 2001 facts about openings and lists: transfers do not show them, so no rule
here does. 3002 speaks only once verdicts are known; with no labels at all it is silent.

## From which risk on something is done

All ours; a bank sets its own. The alert budget is the trainer's: what it makes of it goes into each panel's snapshot.

| section | setting | default | what |
|---|---|---|---|
{thresholds}
## The file

`SLUICE_RULES_FILE` names a TOML or JSON file with what is to differ from this page; all else keeps its default (with
Docker it is `deploy/rules.toml`). Workers and trainer need the same file; `sluice backtest --rules FILE` and
`sluice explain --rules FILE` take it, too. A weight of 0 switches a rule off. A field that does not exist or a value
out of bounds is named, and the program does not start. Every assessment names the edition and a digest of all these
settings, so whoever keeps the file can compute a decision again.

```toml
[bands]
stop = 0.85

[costs]
false_stop_fen = 50_000

[alerts]
share = 0.002

[night]
weight = 0.5
severity = "elevated"
until_s = 21_600
```
"""


def _cell(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split()).replace("|", "\\|")


def _sourced(ground: str) -> str:
    return _linked(ground) if _SOURCE.search(ground) else f"{ground} Ours."


def _linked(text: str) -> str:
    """Return the text with each cited entry of `docs/sources.md` as a link of a page beside it."""
    return _SOURCE.sub(r"[\2](\1)", text)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def _rule_row(rule: Rule) -> str:
    section: Any = getattr(DEFAULT_RULES, rule.section)
    limits = {name: value for name, value in msgspec.structs.asdict(section).items() if name not in _OWN_COLUMNS}
    wording = TEXTS[rule.code]
    return _row(
        (
            rule.code,
            f"`{rule.section}`",
            _severity(section.severity),
            str(section.weight),
            _cell("; ".join(f"{name} {value}" for name, value in limits.items())),
            _sourced(_cell(type(section).__doc__ or "")),
            _cell(f"{wording.zh}<br>{wording.en}"),
        )
    )


def _severity(severity: Severity) -> str:
    return " ".join(SEVERITY_NAMES[severity])


def _threshold_rows() -> str:
    sections = {name: getattr(DEFAULT_RULES, name) for name in ("bands", "costs", "alerts")}
    return "".join(
        _row((f"`{name}`", f"`{field}`", str(getattr(section, field)), _description(hint)))
        for name, section in sections.items()
        for field, hint in get_type_hints(type(section), include_extras=True).items()
    )


def _description(hint: Any) -> str:
    return next(str(meta.description) for meta in hint.__metadata__ if meta.description)


def rules_page() -> str:
    """Return `docs/rules.md`."""
    bands, grey = DEFAULT_RULES.bands, DEFAULT_RULES.grey
    small = amount_worth_a_stop(bands.stop, DEFAULT_RULES.costs) / 100
    head = _RULES_HEAD.format(
        base=DEFAULT_RULES.base,
        watch=bands.watch,
        stop=bands.stop,
        small=f"{small:g}",
        edition=EDITION,
        severities="".join(_row((_severity(each), SEVERITY_MEANINGS[each])) for each in Severity),
    )
    table = _RULES_TABLE + "".join(_rule_row(rule) for rule in RULES)
    lists = "".join(
        _row((code, _severity(UNRULED.get(code, grey.severity)), f"{zh}<br>{en}")) for code, (zh, en) in LISTED.items()
    )
    tail = _CODES_TAIL.format(panel=_severity(UNRULED["9999"]), thresholds=_threshold_rows())
    return _linked(head) + table + _LISTS_HEAD.format(grey=grey.weight) + lists + tail


_FEATURES_HEAD = """# Facts and features

Feature set {feature_set}. **Facts** are the plain numbers that the two profiles know before a transfer is counted
(`models/risk/facts.py`, {facts} of them); rules read facts, and the payer's facts travel with the transfer to the
payee's side. **Features** are made from facts for a whole batch (`models/risk/features.py`), rounded to four decimals
and recorded in every assessment; detectors read features. Only IEEE 754's exactly rounded operations are used, so the
same facts give the same bytes on every machine and in every batch. No feature uses a label; the four `…_proven_…`
count verdicts that were known when the transfer was scored.

## Profiles and windows

A profile takes at most {max_bytes:,} bytes, whatever its account does. Its clock is the latest event time seen and
never goes back. A transfer at most {late_s:,} s behind the clock is placed where it belongs; a later one is flagged
late, scored, and counted only in what has no window.

| window | bucket | holds |
|---|---|---|
{windows}
A window of n buckets holds the events whose bucket is one of the n that end with the clock's. Exactly kept are the
last {recent} credits and {recent} debits, the last {peers} counterparties each way (with first and last contact), and
the ids of the last {ids} debits and of those of the last hour (together at most {batch_ids:,}), by which a re-posted
transfer is recognised. Counterparties beyond that live on in a Bloom filter of two generations ("known before") and
in seven daily bitmaps ("how many this week", linear counting).

Amounts and balances of every `currency` are added as if they were in CNY, and nothing converts them or warns, so a
bank posts the equivalent in CNY ([api.md](api.md)).

## Scales

| scale | meaning |
|---|---|
{scales}"""


def _feature_rows(columns: Iterable[Feature]) -> str:
    rows = [
        _row((f"`{c.name}`", c.scale, _cell(c.meaning), f"`{c.source}`" if c.source else "several")) for c in columns
    ]
    return "| feature | scale | meaning | made of |\n|---|---|---|---|\n" + "".join(rows)


def features_page() -> str:
    """Return `docs/features.md`."""
    windows = [_row((f"{length:,} s", f"{unit:,} s", f"{length - unit:,} to {length:,} s")) for length, unit in WINDOWS]
    head = _FEATURES_HEAD.format(
        feature_set=FEATURE_SET,
        facts=len(FACTS),
        max_bytes=MAX_PROFILE_BYTES,
        late_s=LATE_TOLERANCE_S,
        windows="".join(windows),
        recent=RECENT_KEPT,
        peers=PEERS_KEPT,
        ids=IDS_KEPT,
        batch_ids=BATCH_IDS_KEPT,
        scales="".join(_row((name, meaning)) for name, meaning in SCALES.items()),
    )
    payer = f"\n## Known on the payer's side ({len(DEBIT_COLUMNS)})\n\n" + _feature_rows(DEBIT_COLUMNS)
    payee = f"\n## Added on the payee's side ({len(CREDIT_COLUMNS)})\n\n" + _feature_rows(CREDIT_COLUMNS)
    return head + payer + payee
