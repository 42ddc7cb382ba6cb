"""Parts of the page by themselves: times, streams, words, file names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from agent.api.serving import serving
from agent.made_events import AT, every_event
from keyrig.base.events import event_line
from keyrig.duties.plan import DutyState
from keyrig.page.page_files import page_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.page.browsing import Browser

NOON_MS = 1_800_000_000_000
"""2027-01-15T08:00:00Z."""
SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@pytest.fixture(name="url", scope="module")
def fixture_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEYRIG_HOME", str(home))
        with serving(home) as served:
            yield served.url


@pytest.fixture(autouse=True)
def fixture_page(browser: Browser, url: str) -> None:
    browser.driver.get(url)
    browser.find("#token")


def test_deadlines_never_promise_more_time_than_there_is(browser: Browser) -> None:
    spans = {
        0: "in less than a minute",
        MINUTE: "in 1 minute",
        90 * MINUTE - 1: "in 89 minutes",
        90 * MINUTE: "in 1 hour",
        3 * HOUR - 1: "in 2 hours",
        2 * DAY - 1: "in 47 hours",
        4 * DAY - 1: "in 3 days",
        -1: "less than a minute overdue",
        -2 * HOUR: "2 hours overdue",
        -3 * DAY: "3 days overdue",
    }
    body = (
        "return given[0].map((ms) => it.untilText(new Date(given[1] + ms).toISOString(), given[1]))"
    )
    assert browser.module("times", body, list(spans), NOON_MS) == list(spans.values())


def test_present_instant_is_the_servers_though_the_handhelds_is_years_off(
    browser: Browser,
) -> None:
    body = "const c = new it.ServerClock(); c.sync('2031-05-20T12:00:00+00:00'); return c.now()"
    now = browser.module("times", body)
    assert 0 <= now - 1_937_044_800_000 < 10 * SECOND


def test_local_and_utc_text_of_an_instant_in_summer(browser: Browser) -> None:
    body = "return [it.localText(given[0], 'Europe/London'), it.utcText(given[0])]"
    assert browser.module("times", body, "2026-07-01T23:30:00+00:00") == [
        "Thu 2 Jul 2026, 00:30 local",
        "2026-07-01 23:30 UTC",
    ]


STREAM = (
    "retry: 1500\n\n"
    ": heartbeat\n\n"
    'event: noise\ndata: {"reason": "ä"}\nid: 7\n\n'
    "data: first\r\ndata: second\r\nid:8\r\n\r\n"
    "event: nothing\n\n"
    "id: 9\rdata:x\r\r"
    ":\n\n"
)
PARSED = [
    {"kind": "retry", "ms": 1500},
    {"kind": "heartbeat"},
    {"kind": "message", "event": "noise", "id": "7", "data": '{"reason": "ä"}'},
    {"kind": "message", "event": "message", "id": "8", "data": "first\nsecond"},
    {"kind": "message", "event": "message", "id": "9", "data": "x"},
    {"kind": "heartbeat"},
]


def test_stream_is_read_the_same_however_it_is_cut(browser: Browser) -> None:
    body = (
        "const [text] = given; const all = [];"
        "for (let size = 1; size <= text.length; size += 1) {"
        "  const parser = new it.EventParser(); const found = [];"
        "  for (let at = 0; at < text.length; at += size)"
        "    found.push(...parser.feed(text.slice(at, at + size)));"
        "  all.push(JSON.stringify(found));"
        "} return [...new Set(all)].map((each) => JSON.parse(each))"
    )
    assert browser.module("event_stream", body, STREAM) == [PARSED]


def test_follower_goes_on_after_the_last_event_and_ends_with_the_last(browser: Browser) -> None:
    body = """
      const [first, second] = given; const asked = []; const told = [];
      const api = {stream: async (path, last) => {
        asked.push(last);
        return new Response(asked.length === 1 ? first : second);
      }};
      const handlers = {alive() {}, silent() {}, lost: () => told.push("lost"),
        events: (events) => told.push(...events.map((event) => event.type))};
      await new it.Follower(api, "/x", handlers, new AbortController().signal).follow();
      return [asked, told];
    """
    first = 'retry: 1\n\nevent: a\ndata: {"number": 1}\nid: 1\n\nevent: b\ndata: {"num'
    second = (
        'event: b\ndata: {"number": 2}\nid: 2\n\nevent: operation-finished\ndata: {}\nid: 3\n\n'
    )
    asked, told = browser.module("event_stream", body, first, second)
    assert asked == ["", "1"]
    assert told == ["a", "lost", "b", "operation-finished"]


def test_follower_gives_up_on_what_waiting_does_not_mend(browser: Browser) -> None:
    body = """
      const api = {stream: async () => { throw Object.assign(new Error("gone"), {status: 404}); }};
      const handlers = {alive() {}, silent() {}, lost() {}, events() {}};
      try {
        await new it.Follower(api, "/x", handlers, new AbortController().signal).follow();
      } catch (error) { return error.message; }
    """
    assert browser.module("event_stream", body) == "gone"


ELSEWHERE = {
    "ready",
    "plan",
    "radio-facts",
    "upstream-waiting",
    "upstream-standing",
    "upstream-told",
    "upstream-set-back",
    "answer-written",
    "batch-withdrawn",
    "local-batch",
}
"""Told by commands that are no run of the server's; the page writes such events out."""
WATCHED = """
  const [lines] = given; const strange = [];
  const watched = (line) => new Proxy(line, {get(target, key) {
    if (typeof key === "string" && !Object.hasOwn(target, key)) strange.push(`${line.type}.${key}`);
    return target[key];
  }});
"""
"""Notes each field that is read of an event and that the event does not have."""


def lines(*, bare: bool) -> list[dict[str, Any]]:
    """Return one event of each kind as the API streams it; all are about one device."""
    told = []
    for number, event in enumerate(every_event(bare=bare), 1):
        fields = event.to_json()
        if fields.get("device") is not None:
            fields["device"] = "00-DB-12-34-56-78-90-A0"
        told.append(event_line(event.type, AT, fields, number))
    return told


def test_every_event_of_a_run_has_words_on_the_page_or_is_unsaid_on_purpose(
    browser: Browser,
) -> None:
    body = """
      const [lines] = given;
      const bare = ({type, at, schema, number}) => it.lineOf({type, at, schema, number});
      return lines.filter((each) => bare(each)?.text === each.type.replaceAll("-", " "))
        .map((each) => each.type)
    """
    assert set(browser.module("event_words", body, lines(bare=False))) == ELSEWHERE
    body = "return given[0].filter((each) => it.lineOf(each) === null).map((each) => each.type)"
    unsaid = set(browser.module("event_words", body, lines(bare=False)))
    assert unsaid == {"device-finished", "operation-finished", "radio-standing"}


@pytest.mark.parametrize("bare", [False, True])
def test_words_are_made_of_fields_that_the_event_has(browser: Browser, *, bare: bool) -> None:
    body = """
      const said = lines.map((line) => it.lineOf(watched(line))).filter((line) => line !== null);
      const odd = said.filter((line) => /undefined|null|NaN|\\[object/.test(line.text));
      return [strange, odd.map((line) => line.text), said.length];
    """
    told = [line for line in lines(bare=bare) if line["type"] not in ELSEWHERE]
    strange, odd, count = browser.module("event_words", WATCHED + body, told)
    assert (strange, odd, count) == ([], [], len(told) - 3)


@pytest.mark.parametrize("bare", [False, True])
def test_progress_is_read_from_fields_that_the_event_has(browser: Browser, *, bare: bool) -> None:
    body = """
      const begun = lines.find((line) => line.type === "device-started");
      for (const line of lines) {
        const progress = new it.RunProgress();
        progress.apply(begun);
        progress.apply(watched(line));
        progress.waits(); progress.ended();
      }
      return strange;
    """
    strange = browser.module("run_progress", WATCHED + body, lines(bare=bare))
    # Whether an event is about a device is asked of each.
    assert [each for each in strange if not each.endswith(".device")] == []


def test_field_that_no_event_has_would_be_noticed(browser: Browser) -> None:
    body = "watched(lines[0]).wat; watched(lines[0]).type; return strange"
    told = [{"type": "noise"}]
    assert browser.module("event_words", WATCHED + body, told) == ["noise.wat"]


def test_what_comes_at_once_is_said_once_and_not_word_by_word(browser: Browser) -> None:
    body = """
      const node = document.getElementById("announcer");
      const said = [];
      const seen = new Promise((resolve) => new MutationObserver(() => {
        said.push(node.textContent);
        if (said.length === 2) resolve(said);
      }).observe(node, {childList: true}));
      for (let number = 0; number < 10; number += 1) it.announce(`R${number} done`);
      return seen;
    """
    assert browser.module("announcer", body) == [
        "R0 done",
        "6 earlier. R7 done. R8 done. R9 done",
    ]


def test_event_of_a_newer_agent_is_written_out(browser: Browser) -> None:
    event = {
        "schema": 1,
        "number": 4,
        "type": "moon-phase",
        "at": "x",
        "age_days": 3,
        "of": {"a": 1},
    }
    assert browser.module("event_words", "return it.lineOf(given[0])", event) == {
        "kind": "quiet",
        "text": 'moon phase, age days 3, of {"a":1}',
    }


def test_every_state_of_a_duty_has_a_sign_of_its_own_or_is_settled(browser: Browser) -> None:
    states = [state.value for state in DutyState]
    signs = browser.module("words", "return given[0].map((state) => it.signOf(state))", states)
    assert "·" not in signs
    known = dict(zip(states, signs, strict=True))
    needing_someone = [known[name] for name in ("due", "failed", "scheduled", "done")]
    assert len(set(needing_someone)) == 4


RESULTS = [
    ("done", {}, "Done: all that was due is done."),
    ("done", {"unreported": 2}, "Done, but not reported upstream yet."),
    ("failed", {"unreported": 2}, "Failed: a duty failed, or a device was refused."),
    ("needs-person", {}, "A person must act."),
    (
        "interrupted",
        {"stoppedBy": "token x"},
        "Stopped by token x. The next run goes on where it stood.",
    ),
    ("interrupted", {}, "Interrupted before its end. The next run goes on where it stood."),
    ("error", {}, "Ended with an error."),
]


def test_every_result_is_said_in_words(browser: Browser) -> None:
    body = "return given[0].map(([state, more]) => it.resultSentence(state, more))"
    asked = [[state, more] for state, more, _ in RESULTS]
    assert browser.module("words", body, asked) == [said for *_, said in RESULTS]


def test_files_are_saved_under_names_that_lead_nowhere(browser: Browser) -> None:
    run: dict[str, Any] = {
        "rig": "../../etc/<b>",
        "started_at": "2026-11-24T09:00:01.25+00:00",
        "operation_id": "52fe54b1c0e94ad0a7bb2b8b2f1c6f11",
    }
    name = browser.module("downloads", "return it.fileName(given[0], 'evidence')", run)
    assert name == "keyrig-_.._etc__b_-20261124T090001Z-52fe54b1.evidence"


def test_problem_is_one_line_with_its_hint_once(browser: Browser) -> None:
    body = "return given.map((problem) => it.problemOf(problem).message)"
    told = [
        {"status": 409, "detail": "rig x: another agent drives it; stop it", "hint": "stop it"},
        {"status": 404, "detail": "there is no run", "hint": "see /api/v1/runs"},
        {"status": 502},
    ]
    assert browser.module("api", body, *told) == [
        "rig x: another agent drives it; stop it",
        "there is no run; see /api/v1/runs",
        "the agent answers 502",
    ]


def test_no_script_of_the_page_reads_text_as_markup_or_names_another_place() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in page_directory().iterdir()}
    assert len(files) > 20
    reading = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\("
    )
    elsewhere = re.compile(r"(?:https?:)?//[a-z0-9.]+\.[a-z]{2,}", re.IGNORECASE)
    for name, text in files.items():
        assert not reading.search(text), name
        assert set(elsewhere.findall(text)) <= {"http://www.w3.org"}, name
        assert " style=" not in text, name
    assert re.findall(r"<script[^>]*>", files["index.html"]) == [
        '<script type="module" src="/page/page.js">'
    ]
