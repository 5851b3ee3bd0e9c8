"""Every rule the doctor knows, in one table, and what becomes of an observation that they look at. Pure.

A rule says nothing where its evidence does not suffice. `docs/doctor.md` explains each by its id.
"""

from dataclasses import dataclass
from typing import Literal

from proxy.doctor.observation import Observation
from proxy.doctor.reading import Reading, read
from proxy.doctor.rules import between, cors, delivery, reach, status, text
from proxy.doctor.rules.rule import Case, Rule, Severity, Where

RULES: tuple[Rule, ...] = (
    *reach.RULES,
    *status.RULES,
    *cors.RULES,
    *delivery.RULES,
    *between.RULES,
    *text.RULES,
)
_ONLY_COMPARED = frozenset(rule.id for rule in between.RULES)
# What the next answer to the same request need not show: that one of two has it proves nothing.
_CHANCE = frozenset(
    {
        *("no-answer", "cut-at-limit", "broken-off", "silence", "unended", "ending-missing", "error-in-200"),
        *("gateway-error", "server-error", "request-refused", "sse-last-event-lost"),
        *("utf8-invalid", "utf8-replaced", "utf8-split"),
    }
)
_ORDER: dict[Severity, int] = {"fault": 0, "warning": 1, "note": 2}

Verdict = Literal["streams", "does_not_stream", "cannot_tell", "unreachable"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found, and who does it as far as that can be told."""

    id: str
    severity: Severity
    says: str
    evidence: tuple[str, ...]
    mend: tuple[str, ...]
    where: Where


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The verdict, and what it rests on, the worst first."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    chain: Reading
    direct: Reading | None = None


def diagnose(
    seen: Observation, preflight: Observation | None = None, direct_seen: Observation | None = None
) -> Diagnosis:
    """What is wrong with an answer, and whether it streams."""
    case = Case(read(seen), preflight, read(direct_seen) if direct_seen is not None else None)
    findings = sorted(_found(case), key=lambda finding: _ORDER[finding.severity])
    return Diagnosis(_verdict(case.chain, findings), tuple(findings), case.chain, case.direct)


def _found(case: Case) -> list[Finding]:
    alone = Case(case.direct) if case.direct is not None else None
    own = {rule.id for rule in RULES if alone is not None for _ in rule.check(alone)}
    findings = []
    for rule in RULES:
        for found in rule.check(case):
            severity = found.severity or rule.severity
            where = _where(rule.id, case, own)
            findings.append(Finding(rule.id, severity, found.says, found.evidence, found.mend, where))
    found_ids = {finding.id for finding in findings}
    covered = {covered for rule in RULES if rule.id in found_ids for covered in rule.covers}
    return [finding for finding in findings if finding.id not in covered]


def _where(rule_id: str, case: Case, own: set[str]) -> Where:
    """Who does it. Between is only what the server's own answer, asked for the same, proves not to be its doing."""
    direct = case.direct
    if rule_id in _ONLY_COMPARED:
        return "unknown" if rule_id == "direct-failed" else "between"
    if direct is None or not direct.seen.answered:
        return "unknown"
    if rule_id in own:
        return "server"
    proves = rule_id not in _CHANCE and direct.ended_itself and direct.seen.status in (200, case.seen.status)
    if rule_id in ("buffered", "buffered-blocks"):
        proves = proves and delivery.flows(direct)
    elif rule_id == "head-held":
        proves = proves and between.head_is_later(case.chain, direct)
    return "between" if proves else "unknown"


def _verdict(chain: Reading, findings: list[Finding]) -> Verdict:
    seen = chain.seen
    if not seen.answered:
        # A user who stops before the head has seen nothing to judge.
        return "cannot_tell" if seen.end == "stopped" else "unreachable"
    if any(finding.severity == "fault" for finding in findings):
        return "does_not_stream"
    return "streams" if seen.status == 200 and delivery.flows(chain) else "cannot_tell"
